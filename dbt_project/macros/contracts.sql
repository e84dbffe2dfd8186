{#- Age bands in our spelling, with any separator that a platform writes: '18_24', '18 to 24', '18–24' are '18-24'. -#}
{% macro age_band(column) -%}
    case
        when {{ column }} is null or trim(cast({{ column }} as varchar)) = '' then null
        when lower(cast({{ column }} as varchar)) like '%under%' or regexp_replace(cast({{ column }} as varchar), '[^0-9<]+', '', 'g') in ('<18', '017', '17') then 'under 18'
        when regexp_replace(cast({{ column }} as varchar), '[^0-9]+', '', 'g') like '56%' then '56+'
        else regexp_replace(trim(cast({{ column }} as varchar)), '^([0-9]+)[^0-9]+([0-9]+)$', '\1-\2')
    end
{%- endmacro %}

{#- 'F' or 'M' from a spelling that starts with F, W or M; null for anything else. -#}
{% macro gender(column) -%}
    case upper(left(trim(cast({{ column }} as varchar)), 1)) when 'F' then 'F' when 'W' then 'F' when 'M' then 'M' end
{%- endmacro %}

{#- A platform's categories, split at `separator`, in lower case, and joined by '|' in the platform's order. -#}
{% macro categories(column, separator) -%}
    array_to_string(
        list_transform(
            string_split(lower(coalesce(cast({{ column }} as varchar), '')), {{ separator }}),
            lambda name: trim(name)
        ), '|'
    )
{%- endmacro %}

{#-
  The names in a text of creators, joined by '|'. Names are separated by ';', '|', '/' or '&'. Each name becomes its words in
  alphabetical order, as linkage compares them, so that 'King, Stephen' equals 'Stephen King'. Null where there is none.
-#}
{% macro creators(column) -%}
    nullif(array_to_string(
        list_sort(list_distinct(list_filter(
            list_transform(
                regexp_split_to_array(lower(strip_accents({{ column }})), '[;|/&]'),
                lambda name: array_to_string(list_sort(regexp_extract_all(name, '[\p{L}\p{M}\p{N}]+')), ' ')
            ),
            lambda name: name != ''
        ))), '|'
    ), '')
{%- endmacro %}

{#- A number from text; NaN where the text is no number, which classify_events rejects; null where there is no text. -#}
{% macro number(column) -%}
    coalesce(
        try_cast({{ column }} as double),
        case when trim(cast({{ column }} as varchar)) != '' then cast('nan' as double) end
    )
{%- endmacro %}

{#- UTC from text with a local time without offset; null where the text is no time. -#}
{% macro utc_from_local(column, timezone) -%}
    cast(timezone('{{ timezone }}', try_cast({{ column }} as timestamp)) as timestamp)
{%- endmacro %}

{#- UTC from text with an offset ('2000-12-01T10:00:00+02:00'); null where the text is no time. -#}
{% macro utc_from_offset(column) -%}
    cast(try_cast({{ column }} as timestamptz) as timestamp)
{%- endmacro %}
