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
        lag(title) over versions as title_before,
        lag(price) over versions as price_before,
        lag(categories) over versions as categories_before,
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
        count(distinct staged.item_id) as items
    from lacking
    inner join staged on lacking.platform = staged.platform and lacking.load_date > staged.load_date
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
        with_past.was_available and not coalesce(profiled.is_available, false) as is_withdrawn
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
        ('tenure', minutes_bucket('created_at', 'known_at'), none),
    ]) }}
    {{ numbers_by_day('items', [
        ('rows', 'count(*)', "row_status = 'staged' and not is_first_load", none),
        (
            'new', 'count(*)',
            "row_status = 'staged' and nth_version = 1 and (not is_first_load or cast(created_at as date) + 1 > load_date - " ~ gate_history_days() ~ ')',
            'case when is_first_load then least(cast(created_at as date) + 1, load_date) else day end',
        ),
    ]) }}
    {%- for metric, condition in [('listed', 'nth_version = 1'), ('withdrawn', 'is_withdrawn')] %}
        union all
        select
            facts.platform,
            'items' as contract,
            facts.load_date,
            false as is_first_load,
            facts.load_date as day,
            '{{ metric }}' as metric,
            unnest(['true', 'false']) as bucket,
            cast(unnest([
                count(*) filter (where {{ condition }}),
                greatest(0, known_before.items - count(*) filter (where {{ condition }}))
            ]) as double) as amount
        from facts
        inner join known_before on facts.platform = known_before.platform and facts.load_date = known_before.load_date
        group by facts.platform, facts.load_date, known_before.items
    {%- endfor %}
)

select * from final
