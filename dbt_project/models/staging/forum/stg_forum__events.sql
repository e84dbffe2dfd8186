with source as (
    select * from {{ source('forum', 'posts') }}
    where {{ loads_to_stage() }}
),

mapped as (
    select
        ---- ids
        'forum' as platform,
        post as event_id,
        handle as account_id,
        film as item_id,
        ---- what happened: a review with stars is what the house calls rate
        case kind when 'review' then 'rate' else kind end as event_type,
        {{ number('stars') }} / 5 as value,
        ---- times
        {{ utc_from_offset('posted') }} as occurred_at,
        ---- load
        _known_at as known_at,
        load_date,
        _row as raw_row,
        _unreadable as unreadable
    from source
),

{{ classify_events('mapped') }}
