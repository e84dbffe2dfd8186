-- Products that a walk over the graph of persons and products reaches most often from the person's positive interactions.
with retrieved as (
    select * from {{ ref('retrieved_products') }}
    where generator = 'graph' and {{ is_proposed() }}
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
