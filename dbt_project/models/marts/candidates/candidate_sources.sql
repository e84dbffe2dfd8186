{{ config(pre_hook='{{ set_proposed_snapshots() }}') }}

-- The best of what each generator proposes. A generator is a model `generator_<name>` and a line of seed `generators`.
with pairs as (
    select * from {{ ref('candidate_pairs') }}
    where as_of in ({{ snapshots_to_build() }})
),

offers as (
    select * from {{ ref('offers') }}
    where as_of in ({{ snapshots_to_build() }})
),

generators as (
    select * from {{ ref('generators') }}
),

consumed_products as (
    select * from {{ ref('consumed_products') }}
),

consumed as (
    select
        pairs.pair_id,
        offers.offer_id
    from consumed_products
    inner join pairs using (as_of, person_key)
    inner join offers using (as_of, platform, product_id)
),

proposed as (
    {%- for generator in all_generators() if generator != 'repeats' %}
        select
            pair_id,
            offer_id,
            '{{ generator }}' as generator,
            score
        from {{ ref('generator_' ~ generator) }}
        {%- if not loop.last %}
            union all
        {%- endif %}
    {%- endfor %}
),

-- nobody is offered again what they consumed anywhere, except by the generator that proposes just that
allowed as (
    select proposed.* from proposed
    anti join consumed using (pair_id, offer_id)
    union all
    select
        pair_id,
        offer_id,
        'repeats' as generator,
        score
    from {{ ref('generator_repeats') }}
),

ranked as (
    select
        *,
        row_number() over (partition by pair_id, generator order by score desc, offer_id) as position
    from allowed
),

final as (
    select
        pairs.as_of,
        pairs.person_id,
        pairs.platform,
        offers.item_id,
        offers.product_id,
        ranked.generator,
        ranked.score,
        ranked.position
    from ranked
    inner join generators on ranked.generator = generators.generator and ranked.position <= generators.max_candidates
    inner join pairs on ranked.pair_id = pairs.pair_id
    inner join offers on ranked.offer_id = offers.offer_id
)

select * from final
