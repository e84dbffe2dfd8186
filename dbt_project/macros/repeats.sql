{#-
  The platforms that declare `repeat_consumption` in their sources file, as a list for `in (...)`. Read from the declaration
  itself, so that no run of dbt can be told otherwise.
-#}
{% macro repeat_platforms() -%}
    {%- set names = [''] -%} {#- where there is none, `in ('')` is false, as no platform is called so -#}
    {%- for table in graph.get('sources', {}).values() if table.source_meta.get('repeat_consumption') and table.source_name not in names -%}
        {%- do names.append(table.source_name) -%}
    {%- endfor -%}
    '{{ names | sort | join("', '") }}'
{%- endmacro %}

{#- True for a positive interaction after which the product is offered again on the platform of `offered`: one on that very platform. -#}
{% macro is_repeatable(event, offered) -%}
    {{ event }}.is_positive
    and {{ event }}.platform = {{ offered }}.platform
    and {{ event }}.platform in ({{ repeat_platforms() }})
{%- endmacro %}
