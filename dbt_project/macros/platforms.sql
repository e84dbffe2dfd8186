{#-
  The staged rows of one contract over all platforms, as known by the night. The platforms are the folders of
  models/staging; `crossrec dbt` and the night pass their names, so no list of them stands in the project.
-#}
{% macro all_platforms(contract) -%}
    {%- for platform in var('platforms').split(',') %}
    select * from {{ ref('stg_' ~ platform ~ '__' ~ contract) }}
    where load_date <= {{ as_of() }}
    {%- if not loop.last %}
    union all by name
    {%- endif %}
    {%- endfor %}
{%- endmacro %}
