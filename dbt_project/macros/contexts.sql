{#- The contexts of an event, as columns: which three hours of the day and which weekday (UTC), and the device. -#}
{% macro contexts_of(event) -%}
    hour({{ event }}.occurred_at) // 3 as hours,
    isodow({{ event }}.occurred_at) as weekday,
    {{ event }}.device
{%- endmacro %}

{#- Positive interactions by column `id` and context: the SQL aggregate `counted` over a CTE that has the contexts as columns. -#}
{% macro positives_by_context(known, id, counted='sum(positives)') -%}
    {%- for context in ('hours', 'weekday', 'device') %}
    select
        as_of,
        {{ id }},
        '{{ context }}' as context,
        cast({{ context }} as varchar) as value,
        {{ counted }} as positives
    from {{ known }}
    where {{ context }} is not null
    group by all
    {%- if not loop.last %}
    union all
    {%- endif %}
    {%- endfor %}
{%- endmacro %}
