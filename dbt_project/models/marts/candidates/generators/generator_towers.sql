-- Products whose vectors fit the person's vector best.
with retrieved as (
    select * from {{ ref('retrieved_products') }}
    where generator = 'towers' and {{ is_proposed() }}
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
