{#-
  Age bands in our spelling, with any separator that a platform writes: '18_24', '18 to 24', '18–24' are '18-24'. An age in years
  becomes its band, and a band without an end from 56 on ('65+') is '56+'. Anything else stays as it is, and the gate on contents sees it.
-#}
{% macro age_band(column) -%}
    {%- set text = "trim(cast(" ~ column ~ " as varchar))" -%}
    {%- set years = "try_cast(nullif(regexp_extract(" ~ text ~ ", '^([0-9]{1,3})([.,]0+)?$', 1), '') as integer)" -%}
    case
        when {{ column }} is null or {{ text }} = '' then null
        when lower({{ text }}) like '%under%' or regexp_replace({{ text }}, '[^0-9<]+', '', 'g') in ('<18', '017', '17') or {{ years }} < 18 then 'under 18'
        when {{ years }} < 25 then '18-24'
        when {{ years }} < 35 then '25-34'
        when {{ years }} < 45 then '35-44'
        when {{ years }} < 50 then '45-49'
        when {{ years }} < 56 then '50-55'
        when {{ years }} >= 56 or regexp_matches({{ text }}, '^(5[6-9]|[6-9][0-9])[^0-9]*$') then '56+'
        when regexp_replace({{ text }}, '[^0-9]+', '', 'g') like '56%' then '56+'
        else regexp_replace({{ text }}, '^([0-9]+)[^0-9]+([0-9]+)$', '\1-\2')
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

{#-
  A number from text; NaN where the text is no finite number, which classify_events and classify_items reject; null where there is no
  text. With the decimal mark ',' the text '1.299,50' is 1299.5, and '12.5' is no number, because nobody can tell what it means. A
  column that holds numbers is taken as it is. Who gives no mark gets the one that the platform declares.
-#}
{% macro number(column, decimal_mark=none) -%}
    {%- set text = "trim(cast(" ~ column ~ " as varchar))" -%}
    {%- set plain = column -%}
    {%- if (decimal_mark or declared_of_platform('decimal_mark', '.')) == ',' -%}
        {%- set is_written = "regexp_matches(" ~ text ~ ", '^[+-]?([0-9]+|[0-9]{1,3}([.][0-9]{3})+)(,[0-9]+)?$')" -%}
        {%- set plain = "case when typeof(" ~ column ~ ") != 'VARCHAR' then " ~ text ~ " when " ~ is_written
            ~ " then replace(replace(" ~ text ~ ", '.', ''), ',', '.') end" -%}
    {%- endif -%}
    case
        when isfinite(try_cast({{ plain }} as double)) then try_cast({{ plain }} as double)
        when {{ text }} != '' then cast('nan' as double)
    end
{%- endmacro %}

{#-
  For the column `misfit` of a mapping: why a row is rejected in which a text cannot be read as what the mapping makes of it. `casts`
  says the type by column of the source. Without it `try_cast` would make a null of such a text, and nobody would be told.
-#}
{% macro unfit_values(casts) -%}
    case
        {%- for column, type in casts.items() %}
        when trim(cast({{ column }} as varchar)) != '' and try_cast({{ column }} as {{ type }}) is null then '{{ column }} is no {{ type }}'
        {%- endfor %}
    end
{%- endmacro %}
