-- How often each person was lately shown each product that they did not take there meanwhile. An impression is no
-- interaction: it says what the platform did.
with events as (
    select * from {{ ref('int_events') }}
    where
        event_type = 'impression'
        and superseded_at is null
        and occurred_at >= {{ as_of() }} - interval 28 day
        and occurred_at < {{ as_of() }}
),

person_accounts as (
    select * from {{ ref('person_accounts') }}
),

product_items as (
    select * from {{ ref('product_items') }}
),

interactions as (
    select * from {{ ref('interactions') }}
),

-- what is taken again and again may be shown as often
taken as (
    select distinct
        person_id,
        platform,
        product_id
    from interactions
    where
        is_positive
        and superseded_at is null
        and occurred_at >= {{ as_of() }} - interval 28 day
        and occurred_at < {{ as_of() }}
),

final as (
    select
        person_accounts.person_id,
        events.platform,
        product_items.product_id,
        count(*) as impressions_28d
    from events
    inner join person_accounts
        on events.platform = person_accounts.platform and events.account_id = person_accounts.account_id
    inner join product_items
        on events.platform = product_items.platform and events.item_id = product_items.item_id
    anti join taken
        on
            person_accounts.person_id = taken.person_id
            and events.platform = taken.platform
            and product_items.product_id = taken.product_id
    group by all
)

select * from final
