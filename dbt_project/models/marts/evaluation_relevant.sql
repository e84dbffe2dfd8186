-- How much there was to find for each person and platform of the newest labelled snapshot, retrieved or not.
with labels as (
    select * from {{ ref('snapshot_labels') }}
),

pairs as (
    select * from {{ ref('candidate_pairs') }}
),

evaluated as (
    select as_of from {{ ref('snapshots') }}
    where role = 'evaluation'
),

final as (
    select
        labels.as_of,
        labels.person_id,
        labels.platform,
        count(*) as relevant
    from labels
    inner join evaluated on labels.as_of = evaluated.as_of
    semi join pairs
        on labels.as_of = pairs.as_of and labels.person_id = pairs.person_id and labels.platform = pairs.platform
    group by all
)

select * from final
