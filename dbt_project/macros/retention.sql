{#-
  Snapshots that no later night needs leave: a night's own goes with the next night, unless it lies on the grid of
  those that teach. Newer ones stay, so that running an old night again harms none after it.
  With `role`, only the snapshots of that role are needed.
-#}
{% macro drop_spent_snapshots(keep_grid=true, role=none) -%}
    delete from {{ this }}
    where
        as_of < {{ as_of() }}
        and as_of not in (select as_of from {{ ref('snapshots') }}{{ " where role = '" ~ role ~ "'" if role }})
        {%- if keep_grid %}
        and not (
            as_of > {{ as_of() }} - {{ horizon_days() }}
            and datediff('day', date '1970-01-01', as_of) % {{ snapshot_every_days() }} = 0
        )
        {%- endif %}
{%- endmacro %}
