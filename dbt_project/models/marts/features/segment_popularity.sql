with snapshots as (
    {{ snapshots_to_build() }}
),

interactions as (
    select * from {{ ref('interactions') }}
),

persons as (
    select * from {{ ref('persons') }}
),

final as (
    select
        snapshots.as_of,
        coalesce(persons.age_band, 'unknown') as segment,
        interactions.product_id,
        count(*) filter (where interactions.occurred_at >= snapshots.as_of - interval 28 day) as events_28d,
        count(*) filter (where interactions.occurred_at >= snapshots.as_of - interval 7 day) as events_7d
    from snapshots
    inner join interactions on {{ known_by('interactions', 'snapshots') }}
    inner join persons on interactions.person_id = persons.person_id
    where interactions.occurred_at >= snapshots.as_of - interval 28 day and interactions.is_positive
    group by all
)

select * from final
