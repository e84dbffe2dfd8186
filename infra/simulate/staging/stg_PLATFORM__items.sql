with source as (
    select * from {{ source('<<platform>>', 'items') }}
    where {{ loads_to_stage() }}
),

mapped as (
    select
        ---- ids
        '<<platform>>' as platform,
        cast(item_id as varchar) as item_id,
        ---- what it is
        title,
        cast(year as integer) as release_year,
        cast(null as varchar) as creator,
        cast(null as varchar) as gtin,
        cast(null as varchar) as isbn,
        cast(null as varchar) as imdb_id,
        category as categories,
        price,
        available as is_available,
        ---- times
        listed_at as created_at,
        ---- load
        _known_at as known_at,
        load_date,
        _row as raw_row,
        _unreadable as unreadable
    from source
),

{{ classify_items('mapped') }}
