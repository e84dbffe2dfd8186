-- A catalogue may list a product several times. Nobody is offered it twice, so the first available item by its id stands for all.
with items as (
    select * from {{ ref('item_popularity') }}
    where as_of in ({{ snapshots_to_build() }}) and is_available
    qualify {{ one_of_a_product() }}
),

final as (
    select
        ---- ids
        as_of,
        platform,
        item_id,
        product_id,
        {{ snapshot_key('platform, item_id') }} as offer_id,
        ---- what it is
        category,
        days_on_offer,
        ---- measures on the platform
        persons_1d,
        persons_7d,
        ---- measures over all platforms
        product_persons_28d,
        product_persons
    from items
)

select * from final
