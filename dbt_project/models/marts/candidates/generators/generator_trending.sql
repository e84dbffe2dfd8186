-- The items of the platform that most persons wanted this week, where those of the last day count twice.
with offers as (
    select * from {{ ref('offers') }}
    where {{ is_proposed() }}
),

scored as (
    select
        as_of,
        platform,
        offer_id,
        cast(persons_7d + persons_1d as double) as score
    from offers
    where persons_7d > 0
),

{{ best_of_the_platform('scored', 100) }}
