{#-
  The words of a reason: `template` with each {placeholder} replaced by its value; null where a value that it needs is null. What
  comes from a source's text stands last in `values`, so that nothing in it is taken for a placeholder.
-#}
{% macro worded(template, values) -%}
    {%- set ns = namespace(words=template, filled=[]) -%}
    {%- for placeholder, value in values.items() -%}
        {%- set quoted = "'{" ~ placeholder ~ "}'" -%}
        {%- do ns.filled.append('(not contains(' ~ template ~ ', ' ~ quoted ~ ') or ' ~ value ~ ' is not null)') -%}
        {%- set ns.words = 'replace(' ~ ns.words ~ ', ' ~ quoted ~ ', coalesce(' ~ value ~ ", ''))" -%}
    {%- endfor -%}
    if({{ ns.filled | join(' and ') }}, {{ ns.words }}, null)
{%- endmacro %}

{#-
  Pairs of platforms as rows: in a list on the first, a reason may name what people did on the second. Its own each platform may name;
  another's where that one declares so (`shares_reasons_with` in its sources file).
-#}
{% macro platforms_that_may_be_named() -%}
    {%- set shared = {} -%}
    {%- for table in graph.get('sources', {}).values() if table.source_meta.get('connection') -%}
        {%- do shared.update({table.source_name: table.source_meta.get('shares_reasons_with', 'none')}) -%}
    {%- endfor -%}
    {%- set pairs = [] -%}
    {%- for platform in shared | sort -%}
        {%- for other, policy in shared | dictsort if other == platform or policy == 'all' or (policy != 'none' and platform in policy) -%}
            {%- do pairs.append("('" ~ platform ~ "', '" ~ other ~ "')") -%}
        {%- endfor -%}
    {%- endfor -%}
    {{ pairs | join(', ') if pairs else "('', '')" }}
{%- endmacro %}
