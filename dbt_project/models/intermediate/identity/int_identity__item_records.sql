with items as (
    select * from {{ ref('int_items') }}
),

final as (
    select
        platform,
        item_id,
        title,
        release_year,
        creator,
        gtin,
        isbn,
        imdb_id,
        price
    from items
)

select * from final
