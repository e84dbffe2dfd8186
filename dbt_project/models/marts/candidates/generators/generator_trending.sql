-- The items of the platform with most positive interactions this week, where those of the last day count twice.
with offers as (
    select * from {{ ref('offers') }}
    where {{ is_proposed() }}
),

scored as (
    select
        as_of,
        platform,
        offer_id,
        cast(events_7d + events_1d as double) as score
    from offers
    where events_7d > 0
),

{{ best_of_the_platform('scored', 100) }}
