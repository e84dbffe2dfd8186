{#- Days that the gate `contents` looks back: setting `gate_history_days`. -#}
{% macro gate_history_days() -%}
    {{ setting('GATE_HISTORY_DAYS', '56') }}
{%- endmacro %}

{#- Days in which an account's earlier events count as its recent past. -#}
{% macro recent_days() -%}
    28
{%- endmacro %}

{#-
  CTEs of a profile: `dated` has every row of CTE `rows` with the `day` that it counts for, and whether it came with the platform's
  first load. `profiled` has the rows of the loads that the profile lacks, and of the night's own.
  A row counts for the first night that could have known it. A first load carries weeks of history, so a platform has a past from
  its first night. A row of a later load counts for a night that this load covers, however late the row is: the days before are
  history that the gate has judged already, and they do not change.
-#}
{% macro rows_to_profile(rows) -%}
    loads as (
        select
            platform,
            load_date,
            lag(load_date) over (partition by platform order by load_date) as previous_load
        from (select distinct platform, load_date from {{ rows }})
    ),

    dated as (
        select
            {{ rows }}.*,
            loads.previous_load is null as is_first_load,
            case
                when {{ rows }}.known_at is null then {{ rows }}.load_date
                when loads.previous_load is null then least(cast({{ rows }}.known_at as date) + 1, {{ rows }}.load_date)
                else least(greatest(cast({{ rows }}.known_at as date) + 1, loads.previous_load + 1), {{ rows }}.load_date)
            end as day
        from {{ rows }}
        inner join loads on {{ rows }}.platform = loads.platform and {{ rows }}.load_date = loads.load_date
    ),

    lacking as (
        select loads.platform, loads.load_date
        from loads
        {%- if is_incremental() %}
        left join (select distinct platform, load_date from {{ this }}) as there
            on loads.platform = there.platform and loads.load_date = there.load_date
        {%- endif %}
        where loads.load_date > {{ as_of() }} - {{ gate_history_days() }}
        {%- if is_incremental() %}
        and (there.load_date is null or loads.load_date = {{ as_of() }})
        {%- endif %}
    ),

    profiled as (
        select dated.*
        from dated
        inner join lacking on dated.platform = lacking.platform and dated.load_date = lacking.load_date
        where dated.day > dated.load_date - {{ gate_history_days() }}
    )
{%- endmacro %}

{#- The order in which versions of rows became known. It never changes, so that a backfill gives what its nights gave. -#}
{% macro order_known(row) -%}
    {{ row }}.load_date, {{ row }}.known_at, {{ row }}.raw_row
{%- endmacro %}

{#-
  Counts of CTE `facts` by day and bucket, one metric after the other. `metrics` is a list of (metric, expression of the bucket,
  condition or none). A bucket that is null is not counted.
-#}
{% macro counts_by_bucket(contract, metrics) -%}
    {%- for metric, bucket, condition in metrics %}
    select
        platform,
        '{{ contract }}' as contract,
        load_date,
        is_first_load,
        day,
        '{{ metric }}' as metric,
        cast({{ bucket }} as varchar) as bucket,
        cast(count(*) as double) as amount
    from facts
    where {{ condition or "row_status = 'staged'" }} and ({{ bucket }}) is not null
    group by all
    {%- if not loop.last %}
    union all
    {%- endif %}
    {%- endfor %}
{%- endmacro %}

{#- One number a day: `metrics` is a list of (metric, aggregate, condition or none, expression of the day or none). -#}
{% macro numbers_by_day(contract, metrics) -%}
    {%- for metric, number, condition, day in metrics %}
    union all
    select
        platform,
        '{{ contract }}' as contract,
        load_date,
        is_first_load,
        {{ day or 'day' }} as day,
        '{{ metric }}' as metric,
        'all' as bucket,
        cast({{ number }} as double) as amount
    from facts
    where {{ condition or "row_status = 'staged'" }}
    group by all
    {%- endfor %}
{%- endmacro %}

{#-
  What a load does to the accounts or items that the platform had before it. `parts` is a list of (metric, column of CTE `facts` with
  the part, null where nothing happened); the rest of CTE `known_before` is `(kept)`. A first load has nothing before it.
-#}
{% macro parts_of_known(contract, key, parts) -%}
    {%- for metric, part in parts %}
    union all
    select
        platform,
        '{{ contract }}' as contract,
        load_date,
        false as is_first_load,
        load_date as day,
        '{{ metric }}' as metric,
        bucket,
        cast(amount as double) as amount
    from (
        select
            known_before.platform,
            known_before.load_date,
            facts.{{ part }} as bucket,
            count(distinct facts.{{ key }}) as amount
        from known_before
        inner join facts on known_before.platform = facts.platform and known_before.load_date = facts.load_date
        where facts.{{ part }} is not null
        group by all
        union all
        select
            known_before.platform,
            known_before.load_date,
            '(kept)' as bucket,
            greatest(0, known_before.known - count(distinct facts.{{ key }})) as amount
        from known_before
        left join facts
            on known_before.platform = facts.platform and known_before.load_date = facts.load_date and facts.{{ part }} is not null
        group by known_before.platform, known_before.load_date, known_before.known
    ) as {{ metric }}_parts
    {%- endfor %}
{%- endmacro %}

{#- Which kinds of characters an id is made of, never the id: lower, upper, digits, a leading zero, '.0' at the end, blanks around it. -#}
{% macro id_shape(id) -%}
    concat(
        case when regexp_matches({{ id }}, '[a-z]') then 'a' else '' end,
        case when regexp_matches({{ id }}, '[A-Z]') then 'A' else '' end,
        case when regexp_matches({{ id }}, '[0-9]') then '9' else '' end,
        case when regexp_matches({{ id }}, '^0[0-9]') then ' leading zero' else '' end,
        case when regexp_matches({{ id }}, '[.]0+$') then ' ends in .0' else '' end,
        case when {{ id }} != trim({{ id }}) then ' blank around' else '' end,
        case when regexp_matches(trim({{ id }}), '[ ]') then ' blank inside' else '' end,
        case when regexp_matches({{ id }}, '[^ -~]') then ' not ASCII' else '' end,
        case when regexp_matches({{ id }}, '[-_:/]') then ' joined' else '' end,
        case when regexp_matches({{ id }}, '[!-,.;-@^`{-~]') then ' signs' else '' end
    )
{%- endmacro %}

{#- What a text looks like, never the text: cases, broken encodings, markup and addresses, characters that do not print. -#}
{% macro text_shape(text) -%}
    concat(
        case when {{ text }} = lower({{ text }}) and {{ text }} != upper({{ text }}) then 'lower case' else '' end,
        case when {{ text }} = upper({{ text }}) and {{ text }} != lower({{ text }}) then 'UPPER CASE' else '' end,
        case when regexp_matches({{ text }}, '[^ -~]') then ' not ASCII' else '' end,
        case when regexp_matches({{ text }}, 'Ã|Â|â€|�|ï¿½|[?]{2}') then ' broken encoding' else '' end,
        case when regexp_matches(lower({{ text }}), '<[a-z/!]|&[a-z#0-9]+;|https?:|www[.]|[{][{]') then ' markup or address' else '' end,
        case when {{ text }} != trim({{ text }}) then ' blank around' else '' end
    )
{%- endmacro %}

{#- A positive number by its power of two, in `steps` to a doubling; what is not positive has a bucket of its own. -#}
{% macro power_bucket(number, steps=1) -%}
    case when {{ number }} > 0 then cast(cast(floor(log2({{ number }}) * {{ steps }}) as integer) as varchar) else 'zero or less' end
{%- endmacro %}

{#- Minutes between two times by their power of two, with a sign; null where a time is. -#}
{% macro minutes_bucket(since, until) -%}
    case when {{ since }} > {{ until }} then 'ahead ' else '' end
    || cast(cast(floor(log2(1 + abs(datediff('minute', {{ since }}, {{ until }})))) as integer) as varchar)
{%- endmacro %}
