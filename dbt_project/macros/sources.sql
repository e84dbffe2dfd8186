{#-
  The columns of a relation; of a source those of its files, because a source is no table of the warehouse. dbt's unit tests ask
  for the columns of every input.
-#}
{% macro duckdb__get_columns_in_relation(relation) -%}
    {%- for source in graph.get('sources', {}).values() if (source.schema, source.identifier) == (relation.schema, relation.identifier) -%}
        {%- set files = source.meta.get('external_location', source.source_meta.external_location).replace('{name}', source.name) -%}
        {%- set columns = [] -%}
        {%- for column in run_query('describe from ' ~ files).rows -%}
            {%- do columns.append(api.Column.create(column['column_name'], column['column_type'])) -%}
        {%- endfor -%}
        {{ return(columns) }}
    {%- endfor -%}
    {{ return(dbt.duckdb__get_columns_in_relation(relation)) }}
{%- endmacro %}
