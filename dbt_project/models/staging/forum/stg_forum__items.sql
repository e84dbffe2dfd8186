with source as (
    select * from {{ source('forum', 'films') }}
    where {{ loads_to_stage() }}
),

mapped as (
    select
        ---- ids
        'forum' as platform,
        film as item_id,
        ---- what it is
        title,
        try_cast(year as integer) as release_year,
        cast(null as varchar) as creator,
        cast(null as varchar) as gtin,
        cast(null as varchar) as isbn,
        cast(null as varchar) as imdb_id,
        {{ categories("regexp_replace(tags, '[\\[\\]\"]', '', 'g')", "','") }} as categories,
        cast(null as double) as price,
        try_cast(available as boolean) as is_available,
        ---- times
        {{ utc_from_offset('listed') }} as created_at,
        ---- load
        _known_at as known_at,
        load_date,
        _row as raw_row,
        _unreadable as unreadable,
        {{ unfit_values({'year': 'integer', 'available': 'boolean'}) }} as misfit
    from source
),

{{ classify_items('mapped') }}
