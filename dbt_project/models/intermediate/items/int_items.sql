with rows_known as (
    {{ all_platforms('items') }}
),

category_names as (
    select * from {{ ref('category_names') }}
),

-- what a table of present states had and lost
gone as (
    select distinct
        platform,
        row_key
    from {{ ref('int_quality__gone_keys') }}
    where contract = 'items' and is_gone
),

newest as (
    select
        * replace (
            {{ bounded('title') }} as title,
            {{ bounded('description') }} as description,
            {{ bounded('creator') }} as creator,
            {{ bounded('categories') }} as categories
        )
    from rows_known
    where row_status = 'staged' and known_at < {{ as_of() }}
    qualify row_number() over (
        partition by platform, item_id order by known_at desc, load_date desc, raw_row desc
    ) = 1
),

spelled as (
    select
        platform,
        item_id,
        unnest(string_split(categories, '|')) as name,
        generate_subscripts(string_split(categories, '|'), 1) as position
    from newest
),

-- a name that the seed does not have stays in the platform's spelling
categorised as (
    select
        spelled.platform,
        spelled.item_id,
        array_to_string(
            list(distinct coalesce(category_names.category, spelled.name) order by coalesce(category_names.category, spelled.name)),
            '|'
        ) as categories,
        min_by(coalesce(category_names.category, spelled.name), spelled.position) as category
    from spelled
    left join category_names on spelled.name = category_names.name
    where spelled.name != ''
    group by all
),

final as (
    select
        ---- ids
        newest.platform,
        newest.item_id,
        ---- what it is
        newest.title,
        newest.description,
        newest.release_year,
        newest.creator,
        {{ creators('newest.creator') }} as creators,
        newest.gtin,
        newest.isbn,
        newest.imdb_id,
        categorised.categories,
        coalesce(categorised.category, 'unknown') as category,
        newest.price,
        coalesce(newest.is_available, false) and gone.row_key is null as is_available,
        ---- times
        newest.created_at,
        ---- load
        newest.load_date,
        newest.raw_row
    from newest
    left join categorised
        on newest.platform = categorised.platform and newest.item_id = categorised.item_id
    left join gone
        on newest.platform = gone.platform and newest.item_id = gone.row_key
)

select * from final
