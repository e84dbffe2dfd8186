with product_items as (
    select * from {{ ref('product_items') }}
),

creators as (
    select distinct
        product_id,
        unnest(string_split(creators, '|')) as creator
    from product_items
),

-- creators that one platform names hold for the product on all platforms
named as (
    select
        product_id,
        string_agg(creator, '|' order by creator) as creators
    from creators
    group by product_id
),

-- the shortest title, so that "The Matrix" is preferred to "Matrix, The (1999)"
described as (
    select
        product_id,
        count(distinct platform) as platforms,
        min_by(title, (length(title), title)) as title,
        min(release_year) as release_year,
        min_by(category, (platform, item_id)) as category
    from product_items
    group by product_id
),

final as (
    select
        described.*,
        named.creators
    from described
    left join named on described.product_id = named.product_id
)

select * from final
