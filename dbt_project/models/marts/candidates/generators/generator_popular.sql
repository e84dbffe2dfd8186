-- The products of the platform with most positive interactions on all platforms in four weeks.
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
        cast(product_events_28d as double) as score
    from offers
    where product_events_28d > 0
    qualify row_number() over (partition by as_of, platform order by score desc, offer_id) <= 100
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
