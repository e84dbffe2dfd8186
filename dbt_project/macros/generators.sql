{#-
  Names of the generators. dbt has to know which models to read before it reads any seed, so infra/dbt_environment.py lists the
  rows of seed `generators` whenever dbt starts. The default is for tools that read the project without starting dbt, as sqlfluff
  and some editors do.
-#}
{% macro all_generators() -%}
    {%- set default = 'repeats,ease,neighbours,graph,transitions,category_taste,segment_trending,trending,popular,new_items,towers' -%}
    {{ return(env_var('CROSSREC_DBT_GENERATORS', default).split(',')) }}
{%- endmacro %}

{#-
  Before candidate_sources is built: tells the generators, which are views that it reads, which snapshots it lacks. They would
  compute all snapshots otherwise.
-#}
{% macro set_proposed_snapshots() -%}
    set variable proposed_snapshots = (select list(as_of) from ({{ snapshots_to_build() }}))
{%- endmacro %}

{#- True for a snapshot that generators propose items for: those that candidate_sources builds now, or all where nothing says which. -#}
{% macro is_proposed(as_of='as_of') -%}
    coalesce(list_contains(getvariable('proposed_snapshots'), {{ as_of }}), true)
{%- endmacro %}

{#-
  The last CTEs of a generator that scores products for a person: the `kept` best ones of CTE `scored` (as_of, person_key,
  product_id, score) that the person did not consume, on each platform that offers them. A platform lacks some products, so
  more are kept than the seed allows.
-#}
{% macro offers_of_the_best(scored, kept) -%}
    best as (
        select {{ scored }}.* from {{ scored }}
        anti join {{ ref('consumed_products') }} as consumed using (as_of, person_key, product_id)
        qualify row_number() over (
            partition by {{ scored }}.person_key order by {{ scored }}.score desc, {{ scored }}.product_id
        ) <= {{ kept }}
    ),

    final as (
        select
            pairs.as_of,
            pairs.pair_id,
            offers.offer_id,
            best.score
        from best
        inner join {{ ref('candidate_pairs') }} as pairs using (as_of, person_key)
        inner join {{ ref('offers') }} as offers using (as_of, platform, product_id)
    )

    select * from final
{%- endmacro %}

{#-
  The last CTEs of a generator that proposes the same items to everybody on a platform: the `kept` best ones of CTE `scored`
  (as_of, platform, offer_id, score). The seed allows fewer, because what a person consumed is removed afterwards.
-#}
{% macro best_of_the_platform(scored, kept) -%}
    best as (
        select * from {{ scored }}
        qualify row_number() over (partition by as_of, platform order by score desc, offer_id) <= {{ kept }}
    ),

    final as (
        select
            pairs.as_of,
            pairs.pair_id,
            best.offer_id,
            best.score
        from {{ ref('candidate_pairs') }} as pairs
        inner join best using (as_of, platform)
    )

    select * from final
{%- endmacro %}

{#- A whole generator: what mart retrieved_products has of it. -#}
{% macro retrieved_by(generator) -%}
    select
        as_of,
        pair_id,
        offer_id,
        score
    from {{ ref('retrieved_products') }}
    where generator = '{{ generator }}' and {{ is_proposed() }}
{%- endmacro %}
