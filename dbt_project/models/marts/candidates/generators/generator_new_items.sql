-- Items that are new on the platform. A score halves every 14 days on offer.
with pairs as (
    select * from {{ ref('candidate_pairs') }}
    where {{ is_proposed() }}
),

offers as (
    select * from {{ ref('offers') }}
    where {{ is_proposed() }}
),

-- more than the seed allows, because what a person consumed is removed afterwards
best as (
    select
        as_of,
        platform,
        offer_id,
        round((1 + product_events_28d) * pow(0.5, days_on_offer / 14), 9) as score
    from offers
    where days_on_offer <= 60
    qualify row_number() over (partition by as_of, platform order by score desc, offer_id) <= 30
),

final as (
    select
        pairs.as_of,
        pairs.pair_id,
        best.offer_id,
        best.score
    from pairs
    inner join best using (as_of, platform)
)

select * from final
