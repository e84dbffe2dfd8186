{#-
  A number that can be summed in any order. DuckDB's threads add in an order that differs from run to run. A sum of floats then
  differs in its last digits, and equal inputs would give different lists. Sums of decimals are exact.
-#}
{% macro summable(expression, scale=15, precision=18) -%}
    cast({{ expression }} as decimal({{ precision }}, {{ scale }}))
{%- endmacro %}

{#- The sum of `summable` numbers, as a double. -#}
{% macro stable_sum(expression, scale=15, precision=18) -%}
    cast(sum({{ summable(expression, scale, precision) }}) as double)
{%- endmacro %}
