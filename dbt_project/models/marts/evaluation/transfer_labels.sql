{{ config(materialized='view') }}

-- What the lists that judge a source must find. What a person had before tells nothing of another platform's worth.
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

interacted as (
    select * from {{ ref('positive_interactions') }}
),

cohorts as (
    select * from {{ ref('person_cohorts') }}
),

final as (
    select
        ---- ids
        labels.as_of,
        labels.person_id,
        labels.platform,
        labels.product_id,
        ---- cohort
        cohorts.activity
    from labels
    semi join pairs
        on labels.as_of = pairs.as_of and labels.person_id = pairs.person_id and labels.platform = pairs.platform
    anti join interacted
        on
            labels.as_of = interacted.as_of
            and labels.person_id = interacted.person_id
            and labels.product_id = interacted.product_id
    inner join cohorts on labels.as_of = cohorts.as_of and labels.person_id = cohorts.person_id
)

select * from final
