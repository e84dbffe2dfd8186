with source as (
    select * from {{ source('stream', 'titles') }}
    where {{ loads_to_stage() }}
),

mapped as (
    select
        ---- ids
        'stream' as platform,
        cast(title_id as varchar) as item_id,
        ---- what it is: the year stands at the end of the title, and nowhere else
        title,
        try_cast(regexp_extract(title, '\(([0-9]{4})\)\s*$', 1) as integer) as release_year,
        cast(null as varchar) as creator,
        cast(null as varchar) as gtin,
        cast(null as varchar) as isbn,
        cast(null as varchar) as imdb_id,
        {{ categories('genres', "'|'") }} as categories,
        cast(null as double) as price,
        available as is_available,
        ---- times
        added_at as created_at,
        ---- load
        _known_at as known_at,
        load_date,
        _row as raw_row,
        _unreadable as unreadable
    from source
),

{{ classify_items('mapped') }}
