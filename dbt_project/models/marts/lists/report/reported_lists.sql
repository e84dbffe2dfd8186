{{ config(materialized='view') }}

with recommendations as (
    select * from {{ ref('recommendations') }}
),

products as (
    select * from {{ ref('products') }}
),

final as (
    select
        recommendations.person_id,
        recommendations.platform,
        recommendations.account_id,
        recommendations.rank,
        recommendations.score,
        recommendations.strategy,
        recommendations.category,
        recommendations.reason,
        coalesce(products.title, recommendations.item_id) as title
    from recommendations
    left join products on recommendations.product_id = products.product_id
)

select * from final
