{#-
  Incremental strategy of the marts by snapshot: the night's own snapshot is replaced, missing ones are added. dbt's own
  strategies first write all new rows to a temporary table. For a million wide rows that takes longer than the query, so
  here they are inserted directly.
-#}
{% macro get_incremental_by_as_of_sql(arguments) -%}
    delete from {{ arguments.target_relation }} where as_of = {{ as_of() }};
    insert into {{ arguments.target_relation }} by name select * from {{ arguments.temp_relation }}
    {%- if model.language == 'python' %};  -- dbt-duckdb leaves the table behind that holds the model's rows
    drop table {{ arguments.temp_relation }}
    {%- endif %}
{%- endmacro %}

{#- With strategy `by_as_of`, the temporary table of an incremental model is a view that is read once. -#}
{% macro duckdb__create_table_as(temporary, relation, compiled_code, language='sql', partitioned_by=none, sorted_by=none) -%}
    {%- if temporary and language == 'sql' and config.get('incremental_strategy') == 'by_as_of' -%}
    create temporary view {{ relation.include(database=false, schema=false) }} as ({{ compiled_code }})
    {%- else -%}
    {{ dbt.duckdb__create_table_as(temporary, relation, compiled_code, language, partitioned_by, sorted_by) }}
    {%- endif -%}
{%- endmacro %}
