{{ config(
    materialized='incremental',
    incremental_strategy='by_cut',
    post_hook='{{ drop_spent_snapshots() }}'
) }}

with history as (
    select * from {{ ref('person_history') }}
    where as_of in ({{ snapshots_to_build() }})
),

weighted as (
    select
        as_of,
        person_id,
        category,
        sum((0.1 + weight) * {{ recency('occurred_at', 'as_of', 30) }}) as affinity
    from history
    group by all
),

final as (
    select
        as_of,
        person_id,
        category,
        round(affinity / sum(affinity) over (partition by as_of, person_id), 9) as share,
        row_number() over (partition by as_of, person_id order by round(affinity, 9) desc, category) as position
    from weighted
    where affinity > 0
)

select * from final
