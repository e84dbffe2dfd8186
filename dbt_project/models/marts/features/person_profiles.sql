with snapshots as (
    {{ snapshots_to_build() }}
),

interactions as (
    select * from {{ ref('interactions') }}
),

persons as (
    select * from {{ ref('persons') }}
),

known as (
    select
        snapshots.as_of,
        interactions.*
    from snapshots
    inner join interactions on {{ known_by('interactions', 'snapshots') }}
),

final as (
    select
        ---- ids
        known.as_of,
        known.person_id,
        ---- segments
        any_value(persons.age_band) as age_band,
        any_value(persons.gender) as gender,
        ---- measures
        count(*) as events,
        count(*) filter (where known.occurred_at >= known.as_of - interval 7 day) as events_7d,
        count(*) filter (where known.occurred_at >= known.as_of - interval 28 day) as events_28d,
        count(distinct known.platform) as platforms,
        {{ stable_sum('known.value', 9) }} / count(known.value) as mean_value,
        datediff('hour', max(known.occurred_at), known.as_of) / 24.0 as days_since_last,
        datediff('hour', min(known.occurred_at), known.as_of) / 24.0 as days_since_first
    from known
    inner join persons on known.person_id = persons.person_id
    group by known.as_of, known.person_id
)

select * from final
