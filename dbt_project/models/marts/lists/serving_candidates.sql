{{ config(materialized='view') }}

-- What tonight's lists are made of. A view: a table would hold all features of all candidates a second time.
with tonight as (
    select as_of from {{ ref('snapshots') }}
    where role = 'scoring'
),

candidates as (
    select * from {{ ref('candidates') }}
    where as_of in (select as_of from tonight)
),

training_examples as (
    select * from {{ ref('training_examples') }}
),

bans as (
    select * from {{ ref('active_rules') }}
    where rule = 'ban'
),

pins as (
    select * from {{ ref('active_rules') }}
    where rule = 'pin' and is_available
),

person_products as (
    select * from {{ ref('person_products') }}
),

impressions as (
    select * from {{ ref('impressions') }}
),

-- A platform of which the model learned nothing gets popular lists instead. Not materialized, because the features of all
-- candidates would be held in memory for each shard.
allowed as not materialized (
    select candidates.*
    from candidates
    anti join bans on candidates.platform = bans.platform and candidates.product_id = bans.product_id
    where candidates.platform in (select distinct platform from training_examples)
),

lists as (
    select distinct
        as_of,
        person_id,
        platform
    from allowed
),

pinned as (
    select
        lists.as_of,
        lists.person_id,
        lists.platform,
        pins.item_id,
        pins.product_id,
        pins.category,
        pins.rank as pinned_rank
    from lists
    inner join pins on lists.platform = pins.platform
    anti join person_products
        on
            lists.person_id = person_products.person_id
            and lists.platform = person_products.platform
            and pins.product_id = person_products.product_id
),

-- of a pinned product the pinned item alone is shown
unpinned as (
    select
        allowed.*,
        cast(null as integer) as pinned_rank,
        true as is_candidate
    from allowed
    anti join pins on allowed.platform = pins.platform and allowed.product_id = pins.product_id
),

pinned_candidates as (
    select
        allowed.* replace (pinned.category as category),
        pinned.pinned_rank,
        true as is_candidate
    from allowed
    inner join pinned
        on
            allowed.person_id = pinned.person_id
            and allowed.platform = pinned.platform
            and allowed.item_id = pinned.item_id
),

other_pins as (
    select
        pinned.*,
        false as is_candidate
    from pinned
    anti join allowed
        on
            pinned.person_id = allowed.person_id
            and pinned.platform = allowed.platform
            and pinned.item_id = allowed.item_id
),

every_row as (
    select * from unpinned
    union all by name
    select * from pinned_candidates
    union all by name
    select * from other_pins
),

final as (
    select
        every_row.*,
        every_row.new_item_reciprocal_rank is not null as is_new,
        coalesce(impressions.impressions_28d, 0) as impressions_28d
    from every_row
    left join impressions
        on
            every_row.person_id = impressions.person_id
            and every_row.platform = impressions.platform
            and every_row.product_id = impressions.product_id
)

select * from final
