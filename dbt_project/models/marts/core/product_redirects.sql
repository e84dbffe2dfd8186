with redirects as (
    select * from {{ source('identity', 'product_redirects') }}
),

final as (
    select
        retired_product_id,
        product_id
    from redirects
)

select * from final
