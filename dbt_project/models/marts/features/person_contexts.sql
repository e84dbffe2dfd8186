{{ config(meta={'kept_snapshots': 'needed'}) }}

-- When and on which devices those who get candidates interact, in the contexts of product_contexts.
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
        count(*) as positives
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
        sum(positives) as positives
    from counted
    group by all
),

-- every value of a context has a row, also one without interactions; five usual interactions are added, so that two of
-- them do not make a habit
final as (
    select
        totals.as_of,
        totals.person_id,
        contexts.context,
        contexts.value,
        round((coalesce(counted.positives, 0) + 5 * contexts.usual_share) / (totals.positives + 5), 9) as share
    from totals
    inner join contexts using (as_of, context)
    left join counted using (as_of, person_id, context, value)
)

select * from final
