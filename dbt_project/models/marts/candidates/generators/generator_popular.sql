-- The products of the platform that most persons wanted, on all platforms, in four weeks.
with offers as (
    select * from {{ ref('offers') }}
    where {{ is_proposed() }}
),

scored as (
    select
        as_of,
        platform,
        offer_id,
        cast(product_persons_28d as double) as score
    from offers
    where product_persons_28d > 0
),

{{ best_of_the_platform('scored', 100) }}
