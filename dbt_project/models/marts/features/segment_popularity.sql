with snapshots as (
    {{ snapshots_to_build() }}
),

interactions as (
    select * from {{ ref('interactions') }}
),

persons as (
    select * from {{ ref('persons') }}
),

-- each person counts once, however many events they have
wanted as (
    select
        snapshots.as_of,
        interactions.product_id,
        interactions.person_id,
        max(interactions.occurred_at) as newest_at
    from snapshots
    inner join interactions on {{ known_by('interactions', 'snapshots') }}
    where interactions.occurred_at >= snapshots.as_of - interval 28 day and interactions.is_positive
    group by all
),

final as (
    select
        wanted.as_of,
        coalesce(persons.age_band, 'unknown') as segment,
        wanted.product_id,
        count(*) as persons_28d,
        count(*) filter (where wanted.newest_at >= wanted.as_of - interval 7 day) as persons_7d
    from wanted
    inner join persons on wanted.person_id = persons.person_id
    group by all
)

select * from final
