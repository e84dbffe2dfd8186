{#- The longest text that is merged, in characters. A longer one costs every row that repeats it, and no name is so long. -#}
{% macro longest_text() -%}
    1000
{%- endmacro %}

{# The beginning of a text. Staging keeps the whole. #}
{% macro bounded(column) -%}
    left({{ column }}, {{ longest_text() }})
{%- endmacro %}
