-- What became of every staged row. A row without a fate is counted nowhere, so that gate `reconciliation` finds it missing.
with
{%- for contract in ['accounts', 'items', 'events'] %}
    {{ contract }}_known as (
        {{ all_platforms(contract) }}
    ){{ ',' }}
{%- endfor %}

accounts as (
    select * from {{ ref('int_accounts') }}
),

aliases as (
    select * from {{ ref('int_account_aliases') }}
    where valid_to is null
),

items as (
    select * from {{ ref('int_items') }}
),

events as (
    select * from {{ ref('int_events') }}
),

account_rows as (
    select
        rows_known.platform,
        'accounts' as contract,
        rows_known.load_date,
        case
            when rows_known.known_at >= {{ as_of() }} then 'known_later'
            when
                accounts.account_id is null
                and aliases.handle is not null
                and coalesce(aliases.account_id != rows_known.account_id, true) then 'renamed_away'
            when accounts.account_id is null then null
            when
                accounts.load_date != rows_known.load_date or accounts.raw_row != rows_known.raw_row then 'superseded'
            when not accounts.is_active then 'deleted'
            else 'kept'
        end as fate
    from accounts_known as rows_known
    left join accounts
        on rows_known.platform = accounts.platform and rows_known.account_id = accounts.account_id
    left join aliases
        on rows_known.platform = aliases.platform and rows_known.account_id = aliases.handle
    where rows_known.row_status = 'staged'
),

item_rows as (
    select
        rows_known.platform,
        'items' as contract,
        rows_known.load_date,
        case
            when rows_known.known_at >= {{ as_of() }} then 'known_later'
            when items.item_id is null then null
            when items.load_date != rows_known.load_date or items.raw_row != rows_known.raw_row then 'superseded'
            else 'kept'
        end as fate
    from items_known as rows_known
    left join items
        on rows_known.platform = items.platform and rows_known.item_id = items.item_id
    where rows_known.row_status = 'staged'
),

-- int_events has one row for each moment at which a version of an event became known. Whoever leaves events out of
-- `interactions` for another reason adds it here, before `unknown_item`
event_rows as (
    select
        rows_known.platform,
        'events' as contract,
        rows_known.load_date,
        case
            when rows_known.known_at >= {{ as_of() }} then 'known_later'
            when events.event_id is null then null
            when
                events.load_date != rows_known.load_date or events.raw_row != rows_known.raw_row then 'replaced_at_once'
            when events.superseded_at is not null then 'superseded'
            when events.account_id is null then 'handle_given_up'
            when accounts.account_id is null then 'unknown_account'
            when not accounts.is_active then 'deleted_account'
            when events.event_type = 'impression' then 'impression'
            when events.left_out_because is not null then 'over_daily_cap'
            when items.item_id is null then 'unknown_item'
            when events.handle != events.account_id then 'renamed'
            else 'kept'
        end as fate
    from events_known as rows_known
    left join events
        on
            rows_known.platform = events.platform
            and rows_known.event_id = events.event_id
            and rows_known.known_at = events.known_at
    left join accounts
        on events.platform = accounts.platform and events.account_id = accounts.account_id
    left join items
        on events.platform = items.platform and events.item_id = items.item_id
    where rows_known.row_status = 'staged'
),

every_row as (
    select * from account_rows
    union all
    select * from item_rows
    union all
    select * from event_rows
),

final as (
    select
        platform,
        contract,
        load_date,
        fate,
        -- what the marts have a row of
        fate in ('kept', 'renamed', 'unknown_item') as is_kept,
        count(*) as fate_rows
    from every_row
    where fate is not null
    group by all
)

select * from final
