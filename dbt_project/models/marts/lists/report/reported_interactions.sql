{{ config(materialized='view') }}

with interactions as (
    select * from {{ ref('interactions') }}
    where superseded_at is null
),

products as (
    select * from {{ ref('products') }}
),

final as (
    select
        ---- ids
        interactions.person_id,
        interactions.platform,
        interactions.event_id,
        ---- words
        coalesce(products.title, interactions.item_id) as title,
        interactions.event_type || coalesce(' ' || cast(round(100 * interactions.value) as integer) || '%', '') as what,
        ---- times
        interactions.occurred_at
    from interactions
    left join products on interactions.product_id = products.product_id
)

select * from final
