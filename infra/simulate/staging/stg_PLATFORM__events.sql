with source as (
    select * from {{ source('<<platform>>', 'events') }}
    where {{ loads_to_stage() }}
),

mapped as (
    select
        ---- ids
        '<<platform>>' as platform,
        cast(event_id as varchar) as event_id,
        cast(account_id as varchar) as account_id,
        cast(item_id as varchar) as item_id,
        ---- what happened
        action as event_type,
        value,
        ---- times
        happened_at as occurred_at,
        ---- load
        _known_at as known_at,
        load_date,
        _row as raw_row,
        _unreadable as unreadable
    from source
),

{{ classify_events('mapped') }}
