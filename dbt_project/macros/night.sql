{#-
  The date of the night: everything known before its 00:00 UTC, nothing later. It is a variable of DuckDB, which
  infra/dbt_plugin.py sets on every connection, and none of dbt, which would parse the project again each night. Views may not use
  it: who reads them has another connection. Unit tests have a night of their own, so that they pass in every warehouse.
-#}
{% macro as_of() -%}
    {{ "date '2000-12-15'" if model.resource_type == 'unit_test' else "cast(getvariable('as_of') as date)" }}
{%- endmacro %}

{#- A setting of infra/settings.py with its default, which also counts in unit tests. -#}
{% macro setting(name, default) -%}
    {{ default if model.resource_type == 'unit_test' else env_var('CROSSREC_' ~ name, default) }}
{%- endmacro %}

{% macro horizon_days() -%}
    {{ setting('HORIZON_DAYS', '7') }}
{%- endmacro %}

{% macro snapshot_every_days() -%}
    {{ setting('SNAPSHOT_EVERY_DAYS', '7') }}
{%- endmacro %}

{% macro training_snapshots() -%}
    {{ setting('TRAINING_SNAPSHOTS', '8') }}
{%- endmacro %}

{% macro max_events_per_day() -%}
    {{ setting('MAX_EVENTS_PER_DAY', '1000') }}
{%- endmacro %}

{#- Before the first node of a run: one sentence stops it where dbt knows no night, unless it is about seeds alone. -#}
{% macro require_night() -%}
    {%- set needing = [] -%}
    {%- for resource in selected_resources if not resource.startswith('seed.') -%}
        {%- do needing.append(resource) -%}
    {%- endfor -%}
    {%- if execute and needing and flags.WHICH in ('build', 'run', 'test') -%}
        {%- if run_query("select getvariable('as_of')").rows[0][0] is none -%}
            {%- do exceptions.raise_compiler_error(
                'dbt knows no night yet: run `crossrec nightly` first, or set CROSSREC_DBT_AS_OF=YYYY-MM-DD'
            ) -%}
        {%- endif -%}
    {%- endif -%}
{%- endmacro %}

{#- True for the loads that a staging model reads: all up to the night; in an incremental run those that it lacks, and the night's own again. -#}
{% macro loads_to_stage() -%}
    load_date <= {{ as_of() }}
    {%- if is_incremental() %}
    and (load_date = {{ as_of() }} or load_date not in (select distinct load_date from {{ this }}))
    {%- endif %}
{%- endmacro %}

{#- The snapshots that an incremental mart builds: those that it lacks, and the night's own again. -#}
{% macro snapshots_to_build() -%}
    select as_of from {{ ref('snapshots') }}
    {%- if is_incremental() %}
    where as_of = {{ as_of() }} or as_of not in (select distinct as_of from {{ this }})
    {%- endif %}
{%- endmacro %}

{#- True for a version of an event that was the newest one known at a snapshot. -#}
{% macro known_by(event, snapshot) -%}
    {{ event }}.occurred_at < {{ snapshot }}.as_of
    and {{ event }}.known_at < {{ snapshot }}.as_of
    and ({{ event }}.superseded_at is null or {{ event }}.superseded_at >= {{ snapshot }}.as_of)
{%- endmacro %}

{#- True for what happened in the horizon after a snapshot, as known when the horizon closed, so that labels never change. -#}
{% macro in_horizon(event, snapshot) -%}
    {{ snapshot }}.as_of <= {{ event }}.occurred_at
    and {{ event }}.occurred_at < {{ snapshot }}.as_of + to_days({{ horizon_days() }})
    and {{ event }}.known_at < {{ snapshot }}.as_of + to_days({{ horizon_days() }})
    and (
        {{ event }}.superseded_at is null
        or {{ event }}.superseded_at >= {{ snapshot }}.as_of + to_days({{ horizon_days() }})
    )
{%- endmacro %}

{#-
  For `qualify`, over available items of snapshots: true for one item of each product on a platform, the first by its id. A
  catalogue may list a product several times, and nobody is offered it twice.
-#}
{% macro one_of_a_product() -%}
    row_number() over (partition by as_of, platform, product_id order by item_id) = 1
{%- endmacro %}

{#- Weight that halves every `half_life` days between an event and a date. -#}
{% macro recency(event_time, at, half_life) -%}
    pow(0.5, datediff('hour', {{ event_time }}, {{ at }}) / (24.0 * {{ half_life }}))
{%- endmacro %}
