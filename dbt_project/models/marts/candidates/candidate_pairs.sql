{{ config(
    materialized='incremental',
    incremental_strategy='by_as_of',
    post_hook='{{ drop_spent_snapshots(keep_grid=false) }}'
) }}

-- Who gets candidates where: persons with a history of two events or more, on every platform they have an account on.
-- At a labelled cut only those who took something are asked for: nothing can be learned from the others' lists.
with person_platforms as (
    select * from {{ ref('person_platforms') }}
    where as_of in ({{ snapshots_to_build() }})
),

takers as (
    select distinct
        as_of,
        person_id,
        platform
    from {{ ref('snapshot_labels') }}
),

final as (
    select
        person_platforms.as_of,
        person_platforms.person_id,
        person_platforms.platform
    from person_platforms
    left join takers
        on
            person_platforms.as_of = takers.as_of
            and person_platforms.person_id = takers.person_id
            and person_platforms.platform = takers.platform
    where
        person_platforms.events_all_platforms >= 2
        and (person_platforms.as_of = {{ as_of() }} or takers.person_id is not null)
)

select * from final
