-- Interactions that count for the objectives other than `positive`, whether they are positive or not. Products that the person knew
-- before are included; examples and judged lists have none of them.
with snapshots as (
    select as_of from {{ ref('snapshots') }}
    where role != 'scoring'
),

interactions as (
    select * from {{ ref('interactions') }}
),

event_types as (
    select * from {{ ref('event_types') }}
),

objectives as (
    select * from {{ ref('objectives') }}
),

final as (
    select
        ---- ids
        snapshots.as_of,
        interactions.person_id,
        interactions.platform,
        interactions.product_id,
        objectives.objective,
        ---- measures
        max(
            case objectives.example_weight when 'value' then coalesce(interactions.value, 1) else interactions.weight end
        ) as weight
    from snapshots
    inner join interactions on {{ in_horizon('interactions', 'snapshots') }}
    inner join event_types on interactions.event_type = event_types.event_type
    inner join objectives on event_types.objective = objectives.objective
    group by all
)

select * from final
