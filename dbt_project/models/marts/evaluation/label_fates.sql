{{ config(materialized='view') }}

-- What became of positive interactions, labels and candidates of labelled snapshots, for gate `labels`. What has no fate was lost.
-- The conditions of `snapshot_labels` are written out once more, because a count by the macro that chose the rows proves nothing.
with snapshots as (
    select as_of from {{ ref('snapshots') }}
    where role != 'scoring'
),

interactions as (
    select * from {{ ref('interactions') }}
),

labels as (
    select * from {{ ref('snapshot_labels') }}
),

pairs as (
    select * from {{ ref('candidate_pairs') }}
),

offers as (
    select * from {{ ref('offers') }}
),

candidates as (
    select * from {{ ref('candidates') }}
),

examples as (
    select * from {{ ref('training_examples') }}
),

positives as (
    select
        snapshots.as_of,
        happened.person_id,
        happened.platform,
        happened.product_id
    from snapshots
    inner join interactions as happened
        on
            snapshots.as_of <= happened.occurred_at
            and greatest(happened.occurred_at, happened.known_at) < snapshots.as_of + to_days({{ horizon_days() }})
            and coalesce(happened.superseded_at >= snapshots.as_of + to_days({{ horizon_days() }}), true)
    where happened.is_positive
),

had as (
    select distinct
        positives.as_of,
        positives.person_id,
        positives.product_id
    from positives
    inner join interactions as earlier
        on
            positives.person_id = earlier.person_id
            and positives.product_id = earlier.product_id
            and positives.as_of > earlier.occurred_at
            and positives.as_of > earlier.known_at
            and coalesce(positives.as_of <= earlier.superseded_at, true)
),

fates_of_positives as (
    select
        positives.as_of,
        positives.platform,
        'positives' as stage,
        case
            when labels.product_id is not null then 'label'
            when had.product_id is not null then 'had_before'
        end as fate
    from positives
    left join labels using (as_of, person_id, platform, product_id)
    left join had using (as_of, person_id, product_id)
),

positive_examples as (
    select * from examples
    where label = 1
),

fates_of_labels as (
    select
        labels.as_of,
        labels.platform,
        'labels' as stage,
        case
            when examples.product_id is not null then 'positive_example'
            when pairs.person_id is null then 'too_few_events'
            when offers.product_id is null then 'not_on_offer'
            when candidates.product_id is null then 'not_proposed'
        end as fate
    from labels
    left join positive_examples as examples using (as_of, person_id, platform, product_id)
    left join pairs using (as_of, person_id, platform)
    left join offers using (as_of, platform, product_id)
    left join candidates using (as_of, person_id, platform, product_id)
),

labelled as (
    select distinct
        as_of,
        person_id,
        platform
    from labels
),

fates_of_candidates as (
    select
        candidates.as_of,
        candidates.platform,
        'proposed' as stage,
        case
            when examples.item_id is not null then 'example'
            when labelled.person_id is null then 'of_nobody_with_a_label'
        end as fate
    from candidates
    inner join snapshots using (as_of)
    left join examples using (as_of, person_id, platform, item_id)
    left join labelled using (as_of, person_id, platform)
),

fates as (
    select * from fates_of_positives
    union all
    select * from fates_of_labels
    union all
    select * from fates_of_candidates
),

final as (
    select
        as_of,
        platform,
        stage,
        fate,
        count(*) as fate_rows
    from fates
    group by all
)

select * from final
