{#-
  Every raw row leaves staging as exactly one of staged, duplicate or quarantined: rows are classified, never filtered.
  `rows` is the mapped CTE, `key` the contract's key columns, `columns` all contract columns,
  `reasons` a list of (condition, reason), tried in order.
  A duplicate repeats the content of the row before it with the same key, in this load or an earlier one. Other content is a
  new version, even if it equals an older version (sold out, and in stock again). The intermediate layer chooses the version
  that was valid at a snapshot.
  `optional` maps columns of the contract that a platform may leave out to their types. A null in one of them does not change
  the MD5 of the content, so that rows staged before the platform had the column keep their duplicates.
  A mapping may have a column `misfit`: why it rejects a row that can be read, such as a line without its order.
-#}
{% macro classify(rows, key, columns, reasons, optional={}) -%}
    complete as (
        select * from {{ rows }}
        {%- for column, type in optional.items() %}
        union all by name
        select cast(null as {{ type }}) as {{ column }} where false
        {%- endfor %}
        union all by name
        select cast(null as varchar) as misfit where false
    ),

    rejected as (
        select
            *,
            case
                when unreadable is not null then 'unreadable row'
                when known_at is null then 'no watermark'
                when misfit is not null then misfit
                {%- for condition, reason in reasons %}
                when {{ condition }} then '{{ reason }}'
                {%- endfor %}
            end as reject_reason,
            md5(concat_ws('|', {% for column in columns %}coalesce(cast({{ column }} as varchar), '~'){{ ', ' if not loop.last }}{% endfor %}
            {%- for column in optional %}, '{{ column }}=' || cast({{ column }} as varchar){% endfor %})) as content_md5
        from complete
    ),

    -- rows of earlier runs with the same keys are compared too, so that a night finds the same duplicates as a backfill
    readable as (
        select {{ key | join(', ') }}, content_md5, load_date, raw_row
        from rejected
        where reject_reason is null
        {%- if is_incremental() %}
        union all
        select {{ key | join(', ') }}, content_md5, load_date, raw_row
        from {{ this }}
        where
            row_status != 'quarantined'
            and load_date not in (select load_date from rejected)
            and ({{ key | join(', ') }}) in (select {{ key | join(', ') }} from rejected)
        {%- endif %}
    ),

    -- most keys have one row, so only the other ones are sorted
    in_order as (
        select
            load_date,
            raw_row,
            content_md5 = lag(content_md5) over (
                partition by {{ key | join(', ') }} order by load_date, raw_row
            ) as repeats_the_one_before
        from readable
        where ({{ key | join(', ') }}) in (
            select {{ key | join(', ') }} from readable
            group by all
            having count(*) > 1
        )
    ),

    final as (
        select
            rejected.* exclude (unreadable, misfit),
            case
                when rejected.reject_reason is not null then 'quarantined'
                when in_order.repeats_the_one_before then 'duplicate'
                else 'staged'
            end as row_status
        from rejected
        left join in_order on rejected.load_date = in_order.load_date and rejected.raw_row = in_order.raw_row
    )

    select * from final
{%- endmacro %}

{% macro classify_accounts(rows) -%}
    {{ classify(rows,
        key=['account_id'],
        columns=['account_id', 'formerly_account_id', 'email_token', 'phone_token', 'device_token', 'loyalty_token', 'age_band', 'gender', 'created_at', 'is_deleted'],
        reasons=[
            ("account_id is null or account_id = ''", 'no account id'),
            ("length(account_id) > " ~ longest_text(), 'id too long'),
            ("created_at is null", 'no or unreadable time'),
            ("created_at > known_at + interval 1 day", 'time in the future'),
        ],
        optional={'renamed_at': 'timestamp'}) }}
{%- endmacro %}

{% macro classify_items(rows) -%}
    {{ classify(rows,
        key=['item_id'],
        columns=['item_id', 'title', 'release_year', 'creator', 'gtin', 'isbn', 'imdb_id', 'categories', 'price', 'is_available', 'created_at'],
        reasons=[
            ("item_id is null or item_id = ''", 'no item id'),
            ("length(item_id) > " ~ longest_text(), 'id too long'),
            ("title is null or trim(title) = ''", 'no title'),
            ("created_at is null", 'no or unreadable time'),
            ("price = cast('nan' as double)", 'price is no number'),
            ("price < 0", 'price below zero'),
        ],
        optional={'description': 'varchar'}) }}
{%- endmacro %}

{% macro classify_events(rows) -%}
    {{ classify(rows,
        key=['event_id'],
        columns=['event_id', 'account_id', 'item_id', 'event_type', 'occurred_at', 'value'],
        reasons=[
            ("event_id is null or event_id = ''", 'no event id'),
            ("account_id is null or account_id = ''", 'no account id'),
            ("item_id is null or item_id = ''", 'no item id'),
            ("greatest(length(event_id), length(account_id), length(item_id)) > " ~ longest_text(), 'id too long'),
            ("occurred_at is null", 'no or unreadable time'),
            ("occurred_at > known_at + interval 1 day", 'time in the future'),
            ("event_type is null or event_type not in (select event_type from " ~ ref('event_types') ~ ")", 'unknown event type'),
            ("value = cast('nan' as double)", 'value is no number'),
            ("value is not null and value not between 0 and 1", 'value out of range'),
        ],
        optional={'device': 'varchar'}) }}
{%- endmacro %}
