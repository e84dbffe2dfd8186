-- Items that are new on the platform. A score halves every 14 days on offer.
with offers as (
    select * from {{ ref('offers') }}
    where {{ is_proposed() }}
),

scored as (
    select
        as_of,
        platform,
        offer_id,
        round((1 + product_persons_28d) * pow(0.5, days_on_offer / 14), 9) as score
    from offers
    where days_on_offer <= 60
),

{{ best_of_the_platform('scored', 30) }}
