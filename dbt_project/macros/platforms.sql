{#-
  What the platform of a staging model declares for an option of its sources file. The platform is the model's folder.
-#}
{% macro declared_of_platform(option, default) -%}
    {%- set values = [] -%}
    {%- for table in graph.get('sources', {}).values() if table.source_name == model.fqn[2] and option in table.source_meta -%}
        {%- do values.append(table.source_meta[option]) -%}
    {%- endfor -%}
    {{- values | first | default(default) -}}
{%- endmacro %}

{#-
  The staged rows of one contract over all platforms, as known by the night. A platform is a folder of models/staging:
  infra/dbt_environment.py lists the folders whenever dbt starts, so that a new folder is all that a new platform needs. The
  default is for tools that read the project without starting dbt, as sqlfluff and some editors do.
-#}
{% macro all_platforms(contract) -%}
    {%- for platform in env_var('CROSSREC_DBT_PLATFORMS', 'forum,shop,stream').split(',') %}
    select * from {{ ref('stg_' ~ platform ~ '__' ~ contract) }}
    where load_date <= {{ as_of() }}
    {%- if not loop.last %}
    union all by name
    {%- endif %}
    {%- endfor %}
{%- endmacro %}
