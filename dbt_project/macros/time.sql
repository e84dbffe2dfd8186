{#-
  The one parser of time. The staging models call it as a macro, and the extractor renders the same file (infra/platforms/times.py),
  so that a watermark and the time of an event are read in the same way.

  It takes a column of any type and gives naive UTC. Null where there is no time, so 'infinity', '0000-00-00' and 'yesterday' are null.
  - A time with an offset, 'Z', 'UTC' or 'GMT' is an instant. The zone does not matter.
  - A time without one is local time in `timezone`. In the hour that a clock skips, the offset before the change holds; in the hour that it
    shows twice, the offset after the change.
  - A date is the beginning of that local day; its end, less a microsecond, with `end_of_day`.
  - A number with 9 to 11 digits counts seconds since 1970 in UTC, with 12 to 14 milliseconds, with 15 to 17 microseconds, with 18 or 19
    nanoseconds. A number with 8 digits is a date such as 20001231.
  - `date_order` says how the platform writes dates with the year at the end: 'dmy' or 'mdy'. With 'ymd' such dates are null.
-#}
{% macro utc_from_local(column, timezone, date_order='ymd', end_of_day=false) -%}
    {%- set text = "trim(cast(" ~ column ~ " as varchar))" -%}
    {%- if date_order == 'dmy' -%}
        {%- set text = "regexp_replace(" ~ text ~ ", '^([0-9]{1,2})[./-]([0-9]{1,2})[./-]([0-9]{4})', '\\3-\\2-\\1')" -%}
    {%- elif date_order == 'mdy' -%}
        {%- set text = "regexp_replace(" ~ text ~ ", '^([0-9]{1,2})[./-]([0-9]{1,2})[./-]([0-9]{4})', '\\3-\\1-\\2')" -%}
    {%- endif -%}
    {%- set whole = "split_part(" ~ text ~ ", '.', 1)" -%}
    {%- set instant = "regexp_replace(regexp_replace(replace(" ~ text ~ ", ',', '.'), '\\s*([zZ]|UTC|GMT)$', '+00'), '\\s+([+-])', '\\1')" -%}
    {%- set instant = "regexp_replace(" ~ instant ~ ", '([T ][0-9]{2}:[0-9]{2})([+-])', '\\1:00\\2')" -%}
    {%- set day_after = " + interval 1 day" if end_of_day else "" -%}
    {%- set microsecond_before = " - interval 1 microsecond" if end_of_day else "" -%}
    case
        when regexp_matches({{ text }}, '^[0-9]{4}[-/][0-9].*:[0-9]{2}([.,][0-9]+)?\s*([zZ]|UTC|GMT|[+-][0-9]{2}(:?[0-9]{2})?)$')
            then timezone('UTC', try_cast({{ instant }} as timestamptz))
        when regexp_matches({{ text }}, '^[0-9]{4}[-/][0-9].*:')
            then timezone('UTC', timezone('{{ timezone }}', try_cast(replace({{ text }}, ',', '.') as timestamp)))
        when regexp_matches({{ text }}, '^[0-9]{4}[-/][0-9]{1,2}[-/][0-9]{1,2}$')
            then timezone('UTC', timezone('{{ timezone }}', try_cast({{ text }} as timestamp){{ day_after }})){{ microsecond_before }}
        when regexp_matches({{ text }}, '^[0-9]{8}$')
            then timezone('UTC', timezone('{{ timezone }}', try_strptime({{ text }}, '%Y%m%d'){{ day_after }})){{ microsecond_before }}
        when regexp_matches({{ text }}, '^[0-9]{9,11}([.][0-9]+)?$')
            then make_timestamp(cast(round(cast({{ text }} as decimal(30, 9)) * 1000000) as bigint))
        when regexp_matches({{ text }}, '^[0-9]{12,14}([.][0-9]+)?$')
            then make_timestamp(cast(round(cast({{ text }} as decimal(30, 9)) * 1000) as bigint))
        when regexp_matches({{ text }}, '^[0-9]{15,17}([.][0-9]+)?$') then make_timestamp(cast({{ whole }} as bigint))
        when regexp_matches({{ text }}, '^[0-9]{18,19}$') then make_timestamp(cast({{ text }} as bigint) // 1000)
    end
{%- endmacro %}

{#- The same for a column whose times all carry an offset; one without is UTC. -#}
{% macro utc_from_offset(column) -%}
    {{ utc_from_local(column, 'UTC') }}
{%- endmacro %}
