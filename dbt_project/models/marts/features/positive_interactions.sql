-- Each person's products at each snapshot, with the newest positive interaction of each.
with snapshots as (
    select as_of from {{ ref('snapshots') }}
),

interactions as (
    select * from {{ ref('interactions') }}
),

final as (
    select
        snapshots.as_of,
        interactions.person_id,
        interactions.product_id,
        max_by(interactions.platform, (interactions.occurred_at, interactions.event_id)) as platform,
        max_by(interactions.category, (interactions.occurred_at, interactions.event_id)) as category,
        max(interactions.occurred_at) as occurred_at,
        min(datediff('hour', interactions.occurred_at, snapshots.as_of)) / 24.0 as age_days,
        max(interactions.weight) as weight
    from snapshots
    inner join interactions on {{ known_by('interactions', 'snapshots') }}
    where interactions.is_positive -- a skip, or a view without anything after it, does not say that the person wants more of it
    group by all
)

select * from final
