{{ config(materialized='incremental', incremental_strategy='delete+insert', unique_key=['platform', 'load_date'], tags=['stage']) }}

with rows_known as (
    {{ all_platforms('events') }}
),

account_rows as (
    {{ all_platforms('accounts') }}
),

item_rows as (
    {{ all_platforms('items') }}
),

{{ rows_to_profile('rows_known') }},

-- events may stand under a former handle, which int_events moves to the present one
handles as (
    select
        platform,
        account_id,
        load_date,
        created_at
    from account_rows
    where row_status = 'staged'
    union all
    select
        platform,
        formerly_account_id as account_id,
        load_date,
        created_at
    from account_rows
    where row_status = 'staged' and formerly_account_id is not null
),

known_accounts as (
    select
        platform,
        account_id,
        min(load_date) as first_load,
        min(created_at) as created_at
    from handles
    group by all
),

-- the category of an item's first version, so that a backfill gives what its nights gave
known_items as (
    select
        platform,
        item_id,
        load_date as first_load,
        split_part(categories, '|', 1) as category
    from item_rows
    where row_status = 'staged'
    qualify row_number() over (partition by platform, item_id order by {{ order_known('item_rows') }}) = 1
),

-- no more history than the profiled rows are compared with
recent as (
    select
        dated.platform,
        dated.load_date,
        dated.raw_row,
        dated.event_id,
        dated.account_id,
        dated.item_id,
        dated.event_type,
        dated.value,
        dated.occurred_at,
        dated.known_at,
        dated.day,
        case when known_items.first_load <= dated.load_date then known_items.category end as category
    from dated
    left join known_items on dated.platform = known_items.platform and dated.item_id = known_items.item_id
    where dated.row_status = 'staged' and dated.day >= (select min(day) - {{ recent_days() }} from profiled)
),

with_past as (
    select
        platform,
        load_date,
        raw_row,
        category,
        avg(value) over item_before as item_value,
        count(*) over account_before > 0 as account_seen,
        count(*) over pair_before > 0 as pair_seen,
        count(*) over taste_before > 0 as taste_seen,
        coalesce(
            lag(event_id) over alike != event_id and lag(day) over alike >= day - {{ recent_days() }}, false
        ) as is_repeated,
        coalesce(lag(day) over same_id >= day - {{ recent_days() }}, false) as is_corrected
    from recent
    window
        item_before as (
            partition by platform, item_id
            order by day range between interval {{ recent_days() }} days preceding and interval 1 day preceding
        ),
        account_before as (
            partition by platform, account_id
            order by day range between interval {{ recent_days() }} days preceding and interval 1 day preceding
        ),
        pair_before as (
            partition by platform, account_id, item_id
            order by day range between interval {{ recent_days() }} days preceding and interval 1 day preceding
        ),
        taste_before as (
            partition by platform, account_id, category
            order by day range between interval {{ recent_days() }} days preceding and interval 1 day preceding
        ),
        alike as (
            partition by platform, account_id, item_id, event_type, occurred_at, value order by {{ order_known('recent') }}
        ),
        same_id as (partition by platform, event_id order by {{ order_known('recent') }})
),

facts as (
    select
        profiled.*,
        with_past.account_seen,
        with_past.pair_seen,
        with_past.taste_seen,
        with_past.is_repeated,
        with_past.is_corrected,
        nullif(with_past.category, '') as category,
        known_accounts.first_load <= profiled.load_date as is_account_known,
        known_items.first_load <= profiled.load_date as is_item_known,
        known_accounts.created_at as account_created_at,
        count(*) over (partition by profiled.platform, profiled.load_date, profiled.day, profiled.row_status) as rows_of_day,
        count(*) over (
            partition by profiled.platform, profiled.load_date, profiled.day, profiled.row_status, profiled.account_id
        ) as rows_of_account,
        count(*) over (
            partition by profiled.platform, profiled.load_date, profiled.day, profiled.row_status, profiled.item_id
        ) as rows_of_item,
        row_number() over account_of_day = 1 as is_first_of_account,
        lag(profiled.occurred_at) over account_of_day as account_occurred_before,
        lag(nullif(with_past.category, '')) over account_of_day as category_before,
        profiled.value >= median(profiled.value) over all_of_day as is_high,
        with_past.item_value >= median(with_past.item_value) over all_of_day as is_item_high
    from profiled
    left join with_past
        on
            profiled.platform = with_past.platform
            and profiled.load_date = with_past.load_date
            and profiled.raw_row = with_past.raw_row
    left join known_accounts
        on profiled.platform = known_accounts.platform and profiled.account_id = known_accounts.account_id
    left join known_items on profiled.platform = known_items.platform and profiled.item_id = known_items.item_id
    window
        all_of_day as (partition by profiled.platform, profiled.load_date, profiled.day, profiled.row_status),
        account_of_day as (
            partition by profiled.platform, profiled.load_date, profiled.day, profiled.row_status, profiled.account_id
            order by profiled.occurred_at, profiled.raw_row
        )
),

-- what is said of accounts is counted by account: one eager account says nothing of the platform
final as (
    {{ counts_by_bucket('events', [
        ('status', 'row_status', 'true'),
        ('quarantine', "coalesce(reject_reason, '(kept)')", "row_status != 'duplicate'"),
        ('event_type', 'event_type', none),
        ('value', "coalesce(cast(floor(value * 20) / 20 as varchar), '(none)')", none),
        ('device', "coalesce(device, '(none)')", none),
        ('hour', 'hour(occurred_at)', none),
        ('age', minutes_bucket('occurred_at', 'known_at'), none),
        ('category', "coalesce(category, '(none)')", none),
        ('days_old', "least(8, greatest(-1, datediff('day', occurred_at, known_at)))", none),
        ('account_known', "case when is_account_known then 'known' else 'unknown' end", "row_status = 'staged' and is_first_of_account"),
        ('item_known', "case when is_item_known then 'known' else 'unknown' end", none),
        ('account_shape', id_shape('account_id'), "row_status = 'staged' and is_first_of_account"),
        ('item_shape', id_shape('item_id'), none),
        ('event_shape', id_shape('event_id'), none),
        ('account_tenure', minutes_bucket('account_created_at', 'known_at'), "row_status = 'staged' and is_first_of_account"),
        ('account_load', power_bucket('rows_of_account', 2), none),
        ('item_load', power_bucket('rows_of_item / rows_of_day'), none),
        ('repeated', 'is_repeated', none),
        ('corrected', 'is_corrected', none),
        ('returning', 'account_seen', none),
        ('known_pair', 'pair_seen', "row_status = 'staged' and account_seen"),
        ('known_taste', 'taste_seen', "row_status = 'staged' and account_seen and category is not null"),
        ('same_category', 'category = category_before', none),
        ('value_agrees', 'is_high = is_item_high', none),
        ('in_session', "coalesce(datediff('minute', account_occurred_before, occurred_at) < 30, false)", none),
    ]) }}
    {{ numbers_by_day('events', [
        ('rows', 'count(*)', none, none),
        ('accounts', 'count(distinct account_id)', none, none),
        ('items', 'count(distinct item_id)', none, none),
        ('independent_rows', 'count(*) * count(*) / sum(rows_of_account)', none, none),
        ('busiest_account', 'max(rows_of_account)', none, none),
        ('newest', "greatest(0, datediff('minute', max(least(occurred_at, known_at)), cast(max(day) as timestamp)))", none, none),
    ]) }}
    {%- for bucket, amount in [('true', 'max(rows_of_item)'), ('false', 'count(*) - max(rows_of_item)')] %}
        union all
        select
            platform,
            'events' as contract,
            load_date,
            is_first_load,
            day,
            'top_item' as metric,
            '{{ bucket }}' as bucket,
            cast({{ amount }} as double) as amount
        from facts
        where row_status = 'staged'
        group by all
    {%- endfor %}
)

select * from final
