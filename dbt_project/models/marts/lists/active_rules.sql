-- What people decided about tonight's lists. A rule for an item that the catalogue does not have is about nothing.
with rules as (
    select * from {{ ref('list_rules') }}
    where
        (valid_from is null or valid_from <= {{ as_of() }})
        and (valid_until is null or {{ as_of() }} <= valid_until)
),

product_items as (
    select * from {{ ref('product_items') }}
),

final as (
    select
        ---- ids
        rules.platform,
        rules.item_id,
        product_items.product_id,
        ---- what is decided
        rules.rule,
        rules.rank,
        ---- the item
        product_items.category,
        coalesce(product_items.is_available, false) as is_available
    from rules
    left join product_items
        on rules.platform = product_items.platform and rules.item_id = product_items.item_id
)

select * from final
