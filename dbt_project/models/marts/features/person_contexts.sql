{{ config(meta={'kept_snapshots': 'needed'}) }}

-- When and on what those who get candidates take, in the contexts of product_contexts.
with persons as (
    select distinct
        as_of,
        person_id
    from {{ ref('candidate_pairs') }}
    where as_of in ({{ snapshots_to_build() }})
),

interactions as (
    select * from {{ ref('interactions') }}
),

contexts as (
    select distinct
        as_of,
        context,
        value,
        usual_share
    from {{ ref('product_contexts') }}
    where as_of in ({{ snapshots_to_build() }})
),

known as (
    select
        persons.as_of,
        persons.person_id,
        {{ contexts_of('interactions') }},
        count(*) as takes
    from persons
    inner join interactions
        on persons.person_id = interactions.person_id and {{ known_by('interactions', 'persons') }}
    where interactions.is_positive
    group by all
),

counted as (
    {{ positives_by_context('known', 'person_id') }}
),

totals as (
    select
        as_of,
        person_id,
        context,
        sum(takes) as takes
    from counted
    group by all
),

-- a row for each context, also those in which nothing was taken; five usual takes are added, so that two make no habit
final as (
    select
        totals.as_of,
        totals.person_id,
        contexts.context,
        contexts.value,
        round((coalesce(counted.takes, 0) + 5 * contexts.usual_share) / (totals.takes + 5), 9) as share
    from totals
    inner join contexts on totals.as_of = contexts.as_of and totals.context = contexts.context
    left join counted
        on
            totals.as_of = counted.as_of
            and totals.person_id = counted.person_id
            and contexts.context = counted.context
            and contexts.value = counted.value
)

select * from final
