{#-
  Incremental strategy of the marts that hold one partition by cut: the night's own cut is replaced, those that lacked
  are added. dbt's own strategies write all new rows to a temporary table first, which for a million wide ones takes longer
  than the query; here they go straight where they belong.
-#}
{% macro get_incremental_by_as_of_sql(arguments) -%}
    delete from {{ arguments.target_relation }} where as_of = {{ as_of() }};
    insert into {{ arguments.target_relation }} by name select * from {{ arguments.temp_relation }}
    {%- if model.language == 'python' %};  -- whose rows come in a table that dbt-duckdb leaves behind
    drop table {{ arguments.temp_relation }}
    {%- endif %}
{%- endmacro %}

{#- What dbt calls the temporary table of an incremental model is, for strategy `by_as_of`, a view that is read once. -#}
{% macro duckdb__create_table_as(temporary, relation, compiled_code, language='sql', partitioned_by=none, sorted_by=none) -%}
    {%- if temporary and language == 'sql' and config.get('incremental_strategy') == 'by_as_of' -%}
    create temporary view {{ relation.include(database=false, schema=false) }} as ({{ compiled_code }})
    {%- else -%}
    {{ dbt.duckdb__create_table_as(temporary, relation, compiled_code, language, partitioned_by, sorted_by) }}
    {%- endif -%}
{%- endmacro %}
