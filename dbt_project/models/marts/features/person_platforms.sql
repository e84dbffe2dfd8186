with snapshots as (
    {{ snapshots_to_build() }}
),

person_accounts as (
    select * from {{ ref('person_accounts') }}
),

interactions as (
    select * from {{ ref('interactions') }}
),

product_items as (
    select * from {{ ref('product_items') }}
),

present as (
    select distinct
        snapshots.as_of,
        person_accounts.person_id,
        person_accounts.platform
    from snapshots
    inner join person_accounts on snapshots.as_of > person_accounts.created_at
),

known as (
    select
        snapshots.as_of,
        interactions.person_id,
        interactions.platform,
        count(*) as events,
        max(interactions.occurred_at) as last_at
    from snapshots
    inner join interactions on {{ known_by('interactions', 'snapshots') }}
    group by all
),

purchases as (
    select
        interactions.*,
        {{ summable('product_items.price', 4) }} as price
    from interactions
    inner join product_items
        on interactions.platform = product_items.platform and interactions.item_id = product_items.item_id
    where
        interactions.event_type = 'purchase'
        and product_items.price between 0 and 1e12 -- neither NaN, which sorts after every number, nor infinity
),

spent as (
    select
        snapshots.as_of,
        purchases.person_id,
        purchases.platform,
        sum(purchases.price) as spend,
        sum(purchases.price) filter (where purchases.occurred_at >= snapshots.as_of - interval 28 day) as spend_28d
    from snapshots
    inner join purchases on {{ known_by('purchases', 'snapshots') }}
    group by all
),

final as (
    select
        present.as_of,
        present.person_id,
        present.platform,
        coalesce(known.events, 0) as events,
        sum(coalesce(known.events, 0)) over (partition by present.as_of, present.person_id) as events_all_platforms,
        cast(coalesce(spent.spend, 0) as double) as spend,
        cast(coalesce(spent.spend_28d, 0) as double) as spend_28d,
        datediff('hour', known.last_at, present.as_of) / 24.0 as days_since_last
    from present
    left join known using (as_of, person_id, platform)
    left join spent using (as_of, person_id, platform)
)

select * from final
