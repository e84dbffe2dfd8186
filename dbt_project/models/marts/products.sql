with product_items as (
    select * from {{ ref('product_items') }}
),

-- one spelling a product: the shortest title, so "The Matrix" before "Matrix, The (1999)"
final as (
    select
        product_id,
        count(distinct platform) as platforms,
        min_by(title, (length(title), title)) as title,
        min(release_year) as release_year,
        min_by(category, (platform, item_id)) as category
    from product_items
    group by product_id
)

select * from final
