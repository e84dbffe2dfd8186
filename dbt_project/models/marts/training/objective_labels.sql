-- What counts for the objectives beside take, positive or not. What the person had before is among it: examples and judged lists
-- hold nothing of that.
with cuts as (
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
        cuts.as_of,
        interactions.person_id,
        interactions.platform,
        interactions.product_id,
        objectives.objective,
        ---- measures
        max(
            case objectives.example_weight when 'value' then coalesce(interactions.value, 1) else interactions.weight end
        ) as weight
    from cuts
    inner join interactions on {{ in_horizon('interactions', 'cuts') }}
    inner join event_types on interactions.event_type = event_types.event_type
    inner join objectives on event_types.objective = objectives.objective
    group by all
)

select * from final
