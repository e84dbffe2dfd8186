{#- Nothing from the night's cut or later: the leak that would flatter every metric. -#}
{% test no_future(model, column_name) %}
select {{ column_name }}
from {{ model }}
where {{ column_name }} >= {{ as_of() }}
{% endtest %}
