{{ config(materialized='view') }}

-- The histories by which a source is judged: of persons who have something to find in the snapshot.
with labels as (
    select * from {{ ref('snapshot_labels') }}
    where as_of in (
        select as_of from {{ ref('snapshots') }}
        where role != 'scoring'
    )
),

pairs as (
    select * from {{ ref('candidate_pairs') }}
),

judged as (
    select distinct
        labels.as_of,
        labels.person_id
    from labels
    semi join pairs
        on labels.as_of = pairs.as_of and labels.person_id = pairs.person_id and labels.platform = pairs.platform
),

interacted as (
    select * from {{ ref('positive_interactions') }}
),

final as (
    select
        ---- ids
        interacted.as_of,
        interacted.person_id,
        interacted.product_id,
        interacted.platform,
        ---- measures
        pow(0.5, interacted.age_days / 14.0) as weight
    from interacted
    semi join judged on interacted.as_of = judged.as_of and interacted.person_id = judged.person_id
)

select * from final
