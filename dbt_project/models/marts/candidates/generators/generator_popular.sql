-- The products of the platform with most positive interactions on all platforms in four weeks.
with offers as (
    select * from {{ ref('offers') }}
    where {{ is_proposed() }}
),

scored as (
    select
        as_of,
        platform,
        offer_id,
        cast(product_events_28d as double) as score
    from offers
    where product_events_28d > 0
),

{{ best_of_the_platform('scored', 100) }}
