with items as (
    select * from {{ ref('int_items') }}
),

identity as (
    select * from {{ source('identity', 'item_products') }}
),

final as (
    select
        ---- ids
        identity.product_id,
        items.platform,
        items.item_id,
        ---- what it is
        items.title,
        items.description,
        items.release_year,
        items.categories,
        items.category,
        items.creators,
        items.price,
        items.is_available,
        ---- times
        items.created_at
    from items
    inner join identity
        on items.platform = identity.platform and items.item_id = identity.item_id
)

select * from final
