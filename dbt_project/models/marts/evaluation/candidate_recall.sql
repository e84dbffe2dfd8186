{{ config(materialized='view') }}

-- How much of what people then wanted was among their candidates. What nobody retrieved, no ranker can put in a list.
with snapshots as (
    select * from {{ ref('snapshots') }}
),

examples as (
    select * from {{ ref('training_examples') }}
    where as_of in (select as_of from snapshots)
),

labels as (
    select * from {{ ref('snapshot_labels') }}
    where as_of in (select as_of from snapshots)
),

pairs as (
    select * from {{ ref('candidate_pairs') }}
),

found as (
    select sum(label) as positives from examples
),

wanted as (
    select count(*) as positives
    from labels
    semi join pairs
        on labels.as_of = pairs.as_of and labels.person_id = pairs.person_id and labels.platform = pairs.platform
),

final as (
    select coalesce(found.positives / nullif(wanted.positives, 0), 0) as recall
    from found
    cross join wanted
)

select * from final
