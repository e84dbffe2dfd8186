with source as (
    select * from {{ source('stream', 'watch_log') }}
    where {{ loads_to_stage() }}
),

mapped as (
    select
        ---- ids
        'stream' as platform,
        watch_id as event_id,
        cast(viewer_id as varchar) as account_id,
        cast(title_id as varchar) as item_id,
        ---- what happened: the log's plays are what the house calls watch
        case action when 'play' then 'watch' else action end as event_type,
        {{ number('completion') }} as value,
        ---- times
        started_at as occurred_at,
        ---- load
        _known_at as known_at,
        load_date,
        _row as raw_row,
        _unreadable as unreadable
    from source
),

{{ classify_events('mapped') }}
