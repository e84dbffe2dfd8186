-- How much was known about each person at each snapshot.
with person_platforms as (
    select * from {{ ref('person_platforms') }}
),

final as (
    select
        as_of,
        person_id,
        case
            when max(events_all_platforms) < 5 then 'new'
            when max(events_all_platforms) < 50 then 'light'
            else 'heavy'
        end as activity,
        case when count(*) = 1 then 'one' else 'several' end as platforms
    from person_platforms
    group by all
)

select * from final
