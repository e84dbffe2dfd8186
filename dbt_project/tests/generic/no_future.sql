{#- Nothing from the night's as_of or later. Such a leak would make every metric look better than it is. -#}
{% test no_future(model, column_name) %}
select {{ column_name }}
from {{ model }}
where {{ column_name }} >= {{ as_of() }}
{% endtest %}
