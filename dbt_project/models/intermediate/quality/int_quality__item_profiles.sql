{{ config(materialized='incremental', incremental_strategy='delete+insert', unique_key=['platform', 'load_date'], tags=['stage']) }}

with rows_known as (
    {{ all_platforms('items') }}
),

{{ rows_to_profile('rows_known') }},

staged as (
    select * from dated
    where row_status = 'staged'
),

-- what was known of an item, and of other items with its title, before each of its rows
with_past as (
    select
        platform,
        load_date,
        raw_row,
        row_number() over versions as nth_version,
        first_value(load_date) over versions < load_date as was_known,
        lag(title) over versions as title_before,
        lag(price) over versions as price_before,
        lag(coalesce(categories, '')) over versions as categories_before,
        lag(coalesce(release_year, 0)) over versions as release_year_before,
        lag(coalesce(creator, '')) over versions as creator_before,
        lag(concat_ws('|', gtin, isbn, imdb_id)) over versions as identifiers_before,
        lag(coalesce(cast(created_at as varchar), '')) over versions as created_at_before,
        coalesce(lag(is_available) over versions, false) as was_available,
        first_value(item_id) over same_title != item_id as is_title_shared
    from staged
    window
        versions as (partition by platform, item_id order by {{ order_known('staged') }}),
        same_title as (partition by platform, lower(trim(title)) order by {{ order_known('staged') }})
),

known_before as (
    select
        lacking.platform,
        lacking.load_date,
        count(distinct staged.item_id) as known
    from lacking
    inner join staged on lacking.platform = staged.platform and lacking.load_date > staged.load_date
    group by all
),

-- how many items can be recommended after a load
catalogue as (
    select
        versions.platform,
        versions.load_date,
        count(*) filter (where versions.is_available) as items
    from (
        select
            lacking.platform,
            lacking.load_date,
            coalesce(max_by(staged.is_available, ({{ order_known('staged') }})), false) as is_available
        from lacking
        inner join staged on lacking.platform = staged.platform and lacking.load_date >= staged.load_date
        group by lacking.platform, lacking.load_date, staged.item_id
    ) as versions
    group by all
),

facts as (
    select
        profiled.*,
        with_past.nth_version,
        with_past.title_before,
        with_past.price_before,
        with_past.categories_before,
        with_past.is_title_shared,
        case when with_past.was_available and not coalesce(profiled.is_available, false) then 'true' end as withdrawal,
        case when with_past.was_known and not with_past.was_available and profiled.is_available then 'true' end as return,
        case when with_past.nth_version = 1 then 'true' end as listing,
        case
            when not coalesce(with_past.was_known, false) then null
            when coalesce(profiled.title, '') != with_past.title_before then 'title'
            when coalesce(profiled.categories, '') != with_past.categories_before then 'categories'
            when coalesce(profiled.release_year, 0) != with_past.release_year_before then 'year'
            when coalesce(profiled.creator, '') != with_past.creator_before then 'creator'
            when concat_ws('|', profiled.gtin, profiled.isbn, profiled.imdb_id) != with_past.identifiers_before then 'identifier'
            when coalesce(cast(profiled.created_at as varchar), '') != with_past.created_at_before then 'listing'
            when
                with_past.price_before > 0
                and not coalesce(profiled.price between with_past.price_before / 4 and with_past.price_before * 4, false)
                then 'price by four times or more'
        end as change
    from profiled
    left join with_past
        on
            profiled.platform = with_past.platform
            and profiled.load_date = with_past.load_date
            and profiled.raw_row = with_past.raw_row
),

final as (
    {{ counts_by_bucket('items', [
        ('status', 'row_status', 'true'),
        ('quarantine', "coalesce(reject_reason, '(kept)')", "row_status != 'duplicate'"),
        ('title_shape', text_shape('title'), none),
        ('title_length', power_bucket('length(title)', 2), none),
        ('title_changed', 'title != title_before', none),
        ('title_shared', 'is_title_shared', none),
        ('description', "case when coalesce(description, '') = '' then '(none)' else " ~ power_bucket('length(description)') ~ ' end', none),
        ('release_year', "coalesce(cast(release_year // 10 * 10 as varchar), '(none)')", none),
        ('creator', "case when coalesce(creator, '') = '' then '(none)' else 'given' end", none),
        ('gtin', "case when gtin is null then '(none)' else 'given' end", none),
        ('isbn', "case when isbn is null then '(none)' else 'given' end", none),
        ('imdb_id', "case when imdb_id is null then '(none)' else 'given' end", none),
        ('category', "coalesce(nullif(split_part(categories, '|', 1), ''), '(none)')", none),
        ('categories_changed', 'coalesce(categories, \'\') != categories_before', none),
        ('price', "case when price is null then '(none)' else " ~ power_bucket('price', 2) ~ ' end', none),
        ('price_change', "case when price > 0 and price_before > 0 and price != price_before then cast(cast(round(log2(price / price_before) * 2) as integer) as varchar) end", none),
        ('available', 'coalesce(is_available, false)', none),
        ('shape', id_shape('item_id'), none),
        ('tenure', minutes_bucket('created_at', 'known_at'), "row_status = 'staged' and nth_version = 1"),
    ]) }}
    {{ numbers_by_day('items', [
        ('rows', 'count(*)', "row_status = 'staged' and not is_first_load", none),
        (
            'new', 'count(*)',
            "row_status = 'staged' and nth_version = 1 and (not is_first_load or cast(created_at as date) + 1 > load_date - " ~ gate_history_days() ~ ')',
            'case when is_first_load then least(cast(created_at as date) + 1, load_date) else day end',
        ),
    ]) }}
    {{ parts_of_known('items', 'item_id', [
        ('listed', 'listing'), ('withdrawn', 'withdrawal'), ('returned', 'return'), ('changed', 'change')
    ]) }}
    union all
    select
        platform,
        'items' as contract,
        load_date,
        false as is_first_load,
        load_date as day,
        'catalogue' as metric,
        'all' as bucket,
        cast(items as double) as amount
    from catalogue
)

select * from final
