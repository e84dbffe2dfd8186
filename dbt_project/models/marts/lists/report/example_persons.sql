{{ config(materialized='view') }}

-- Persons to look at: on several platforms, lately active, with a history that one can read.
with tonight as (
    select as_of from {{ ref('snapshots') }}
    where role = 'scoring'
),

profiles as (
    select * from {{ ref('person_profiles') }}
    where as_of in (select as_of from tonight)
),

recommendations as (
    select * from {{ ref('recommendations') }}
),

final as (
    select
        person_id,
        events,
        row_number() over (order by platforms desc, days_since_last, person_id) as position
    from profiles
    where events between 15 and 200 and person_id in (select person_id from recommendations)
)

select * from final
