{{ config(materialized='view') }}

-- What decides whether there is enough history for a first model. A view: nobody asks once a model serves.
with interactions as (
    select * from {{ ref('interactions') }}
),

snapshots as (
    select * from {{ ref('snapshots') }}
),

candidate_pairs as (
    select * from {{ ref('candidate_pairs') }}
),

-- an event that was corrected is one event, which counts from the day on which its first version happened and was known
events as (
    select
        person_id,
        cast(min(greatest(occurred_at, known_at)) as date) as day
    from interactions
    group by person_id, platform, event_id
),

numbered as (
    select
        day,
        row_number() over (partition by person_id order by day) as number
    from events
),

days as (
    select
        min(day) as first_day,
        min(day) filter (where number = 2) as second_day
    from numbered
),

roles as (
    select
        max(as_of) filter (where role = 'training') as newest_training,
        max(as_of) filter (where role = 'evaluation') as evaluation,
        coalesce(bool_or(role = 'training' and as_of in (select as_of from candidate_pairs)), false) as training_has_pairs,
        coalesce(bool_or(role = 'evaluation' and as_of in (select as_of from candidate_pairs)), false) as evaluation_has_pairs
    from snapshots
),

final as (
    select
        ---- events
        days.first_day,
        days.second_day,
        ---- snapshots
        roles.newest_training,
        roles.evaluation,
        roles.training_has_pairs,
        roles.evaluation_has_pairs
    from days
    cross join roles
)

select * from final
