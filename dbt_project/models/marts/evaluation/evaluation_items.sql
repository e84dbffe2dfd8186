-- The platforms' catalogues at the evaluation snapshot. One person is added to every item's, so that no share is 0. The
-- novelty of an item that nobody wanted would be infinite.
with evaluated as (
    select as_of from {{ ref('snapshots') }}
    where role = 'evaluation'
),

items as (
    select * from {{ ref('item_popularity') }}
),

final as (
    select
        ---- ids
        items.as_of,
        items.platform,
        items.item_id,
        items.product_id,
        ---- what it is
        items.category,
        items.is_available,
        -- another item of an old product does not make it new
        max(items.days_on_offer) over (partition by items.platform, items.product_id) <= 60 as is_new,
        ---- measures
        (items.persons + 1) / sum(items.persons + 1) over (partition by items.platform) as popularity
    from items
    inner join evaluated on items.as_of = evaluated.as_of
)

select * from final
