-- What each person had taken by each cut, once by product, at its newest.
with cuts as (
    select as_of from {{ ref('snapshots') }}
),

interactions as (
    select * from {{ ref('interactions') }}
),

final as (
    select
        cuts.as_of,
        interactions.person_id,
        interactions.product_id,
        max_by(interactions.platform, (interactions.occurred_at, interactions.event_id)) as platform,
        max_by(interactions.category, (interactions.occurred_at, interactions.event_id)) as category,
        max(interactions.occurred_at) as occurred_at,
        min(datediff('hour', interactions.occurred_at, cuts.as_of)) / 24.0 as age_days,
        max(interactions.weight) as weight
    from cuts
    inner join interactions on {{ known_by('interactions', 'cuts') }}
    where interactions.is_positive -- nobody wants more of what they skipped, or looked at and left
    group by all
)

select * from final
