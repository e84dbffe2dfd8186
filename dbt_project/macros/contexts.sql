{#- Takes by who or what `id` names in each context: three hours of the day and weekday (UTC) and device, of a CTE that has these as columns. -#}
{% macro takes_by_context(known, id) -%}
    {%- for context in ('hours', 'weekday', 'device') %}
    select
        as_of,
        {{ id }},
        '{{ context }}' as context,
        cast({{ context }} as varchar) as value,
        sum(takes) as takes
    from {{ known }}
    where {{ context }} is not null
    group by all
    {%- if not loop.last %}
    union all
    {%- endif %}
    {%- endfor %}
{%- endmacro %}
