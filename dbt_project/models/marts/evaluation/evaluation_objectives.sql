{{ config(materialized='view') }}

-- What counts for the objectives beside `positive` in the lists of the evaluation snapshot, which hold nothing that was had before.
with relevant as (
    select * from {{ ref('evaluation_relevant') }}
),

labels as (
    select * from {{ ref('objective_labels') }}
),

consumed as (
    select * from {{ ref('evaluation_consumed') }}
),

final as (
    select
        ---- ids
        labels.objective,
        labels.person_id,
        labels.platform,
        labels.product_id
    from labels
    semi join relevant
        on labels.as_of = relevant.as_of and labels.person_id = relevant.person_id and labels.platform = relevant.platform
    anti join consumed
        on
            labels.person_id = consumed.person_id
            and labels.platform = consumed.platform
            and labels.product_id = consumed.product_id
)

select * from final
