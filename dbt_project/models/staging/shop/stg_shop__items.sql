with source as (
    select * from {{ source('shop', 'products') }}
    where {{ loads_to_stage() }}
),

mapped as (
    select
        ---- ids
        'shop' as platform,
        sku as item_id,
        ---- what it is
        name as title,
        try_cast(release_year as integer) as release_year,
        cast(null as varchar) as creator,
        cast(null as varchar) as gtin,
        cast(null as varchar) as isbn,
        cast(null as varchar) as imdb_id,
        {{ categories('department', "';'") }} as categories,
        {{ number('price') }} as price,
        try_cast(in_stock as integer) > 0 as is_available,
        ---- times
        {{ utc_from_local('listed_at', 'America/New_York') }} as created_at,
        ---- load
        _known_at as known_at,
        load_date,
        _row as raw_row,
        _unreadable as unreadable,
        {{ unfit_values({'release_year': 'integer', 'in_stock': 'integer'}) }} as misfit
    from source
),

{{ classify_items('mapped') }}
