{#-
  The post-hook of incremental marts: deletes snapshots that no later night needs. Newer ones than the night's stay, so that
  running an old night again does no harm to the nights after it. Meta `kept_snapshots` of a model or folder says what is kept:
  - `with_grid` (default): those that this night needs, and those on the grid of snapshots whose horizon is still open. A later
    night will learn from them.
  - `needed`: those that this night needs. For models that are built for a labelled snapshot when it gets its labels.
  - `evaluation`: the one that the night evaluates on.
-#}
{% macro drop_spent_snapshots() -%}
    {%- set snapshots = ref('snapshots') -%}
    {%- set kept = model.config.get('meta', {}).get('kept_snapshots', 'with_grid') -%}
    {%- if model.config.materialized == 'incremental' %}
    delete from {{ this }}
    where
        as_of < {{ as_of() }}
        and as_of not in (select as_of from {{ snapshots }}{{ " where role = 'evaluation'" if kept == 'evaluation' }})
        {%- if kept == 'with_grid' %}
        and not (
            as_of > {{ as_of() }} - {{ horizon_days() }}
            and datediff('day', date '1970-01-01', as_of) % {{ snapshot_every_days() }} = 0
        )
        {%- endif %}
    {%- endif %}
{%- endmacro %}
