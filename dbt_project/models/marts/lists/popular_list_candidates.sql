{{ config(materialized='view') }}

-- What the popular list of each account is made of. Whoever had n products finds at least a hundred others among the first
-- n + 100 of the catalogue. A view, which is read by shard: all accounts' rows would be many times the lists.
with tonight as (
    select as_of from {{ ref('snapshots') }}
    where role = 'scoring'
),

person_accounts as (
    select * from {{ ref('person_accounts') }}
    where created_at < (select as_of from tonight)
),

served as (
    select distinct
        person_id,
        platform
    from {{ ref('serving_candidates') }}
),

popular_lists as (
    select * from {{ ref('popular_lists') }}
),

person_products as (
    select * from {{ ref('person_products') }}
),

how_many as (
    select
        person_id,
        platform,
        count(*) as products
    from person_products
    group by all
),

bans as (
    select * from {{ ref('active_rules') }}
    where rule = 'ban'
),

pins as (
    select * from {{ ref('active_rules') }}
    where rule = 'pin' and is_available
),

impressions as (
    select * from {{ ref('impressions') }}
),

accounts as (
    select
        person_accounts.person_id,
        person_accounts.platform,
        person_accounts.account_id,
        coalesce(person_accounts.age_band, 'unknown') as segment,
        coalesce(how_many.products, 0) as products_had,
        served.person_id is not null as has_candidates
    from person_accounts
    left join served
        on person_accounts.person_id = served.person_id and person_accounts.platform = served.platform
    left join how_many
        on person_accounts.person_id = how_many.person_id and person_accounts.platform = how_many.platform
),

final as (
    select
        ---- ids
        accounts.person_id,
        accounts.platform,
        accounts.account_id,
        -- a pin stands there as the item that was pinned, whichever of the product's items the popular lists have
        coalesce(pins.item_id, popular_lists.item_id) as item_id,
        popular_lists.product_id,
        ---- what it is
        coalesce(pins.category, popular_lists.category) as category,
        accounts.has_candidates,
        ---- measures
        1.0 / popular_lists.position as score,
        pins.rank as pinned_rank,
        coalesce(impressions.impressions_28d, 0) as impressions_28d
    from accounts
    inner join popular_lists
        on accounts.platform = popular_lists.platform and accounts.segment = popular_lists.segment
    anti join person_products
        on
            accounts.person_id = person_products.person_id
            and accounts.platform = person_products.platform
            and popular_lists.product_id = person_products.product_id
    anti join bans
        on popular_lists.platform = bans.platform and popular_lists.product_id = bans.product_id
    left join pins
        on popular_lists.platform = pins.platform and popular_lists.product_id = pins.product_id
    left join impressions
        on
            accounts.person_id = impressions.person_id
            and accounts.platform = impressions.platform
            and popular_lists.product_id = impressions.product_id
    where popular_lists.position <= 100 + accounts.products_had or pins.item_id is not null
)

select * from final
