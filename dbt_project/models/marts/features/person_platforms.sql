with cuts as (
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
        cuts.as_of,
        person_accounts.person_id,
        person_accounts.platform
    from cuts
    inner join person_accounts on cuts.as_of > person_accounts.created_at
),

known as (
    select
        cuts.as_of,
        interactions.person_id,
        interactions.platform,
        count(*) as events,
        max(interactions.occurred_at) as last_at
    from cuts
    inner join interactions on {{ known_by('interactions', 'cuts') }}
    group by all
),

purchases as (
    select
        interactions.*,
        cast(product_items.price as decimal(18, 4)) as price -- decimals add up the same in any order
    from interactions
    inner join product_items
        on interactions.platform = product_items.platform and interactions.item_id = product_items.item_id
    where
        interactions.event_type = 'purchase'
        and product_items.price between 0 and 1e12 -- neither NaN, which sorts after every number, nor infinity
),

spent as (
    select
        cuts.as_of,
        purchases.person_id,
        purchases.platform,
        sum(purchases.price) as spend,
        sum(purchases.price) filter (where purchases.occurred_at >= cuts.as_of - interval 28 day) as spend_28d
    from cuts
    inner join purchases on {{ known_by('purchases', 'cuts') }}
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
    left join known
        on
            present.as_of = known.as_of
            and present.person_id = known.person_id
            and present.platform = known.platform
    left join spent
        on
            present.as_of = spent.as_of
            and present.person_id = spent.person_id
            and present.platform = spent.platform
)

select * from final
