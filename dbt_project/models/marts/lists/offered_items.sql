{{ config(materialized='view') }}

-- What may be shown of each platform's items. A view: the gate and the lists follow a rule as soon as it is active.
with tonight as (
    select as_of from {{ ref('snapshots') }}
    where role = 'scoring'
),

product_items as (
    select * from {{ ref('product_items') }}
),

bans as (
    select distinct
        platform,
        product_id
    from {{ ref('active_rules') }}
    where rule = 'ban'
),

final as (
    select
        ---- ids
        product_items.platform,
        product_items.item_id,
        product_items.product_id,
        ---- what may be shown
        product_items.is_available,
        product_items.is_available and product_items.created_at < tonight.as_of as is_on_offer,
        bans.product_id is not null as is_banned
    from product_items
    cross join tonight
    left join bans
        on product_items.platform = bans.platform and product_items.product_id = bans.product_id
)

select * from final
