with events as (
    select * from {{ ref('int_events') }}
    where
        event_type != 'impression' -- the platform did it, not the person
        and left_out_because is null
),

event_types as (
    select * from {{ ref('event_types') }}
),

person_accounts as (
    select * from {{ ref('person_accounts') }}
),

product_items as (
    select * from {{ ref('product_items') }}
),

-- a deleted account has no person, so its events are left out; an item that the catalogue never had is a product of its own
final as (
    select
        ---- ids
        person_accounts.person_id,
        coalesce(product_items.product_id, events.platform || ':' || events.item_id) as product_id,
        events.platform,
        events.event_id,
        events.account_id,
        events.item_id,
        ---- what happened
        coalesce(product_items.category, 'unknown') as category,
        events.event_type,
        event_types.is_positive,
        events.value,
        events.device,
        event_types.weight * (0.25 + 0.75 * coalesce(events.value, 1)) as weight,
        ---- times
        events.occurred_at,
        events.known_at,
        events.superseded_at,
        ---- load
        events.load_date
    from events
    inner join event_types on events.event_type = event_types.event_type
    inner join person_accounts
        on events.platform = person_accounts.platform and events.account_id = person_accounts.account_id
    left join product_items
        on events.platform = product_items.platform and events.item_id = product_items.item_id
)

select * from final
