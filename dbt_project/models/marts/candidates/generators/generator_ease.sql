-- Products that are most similar to the person's positive interactions by EASE.
with retrieved as (
    select * from {{ ref('retrieved_products') }}
    where generator = 'ease' and {{ is_proposed() }}
),

final as (
    select
        as_of,
        pair_id,
        offer_id,
        score
    from retrieved
)

select * from final
