-- Candidates of persons with a label on the platform. Of the others nobody knows whether they saw a list at all.
with labels as (
    select * from {{ ref('snapshot_labels') }}
    {%- if is_incremental() %}
    where as_of not in (select distinct as_of from {{ this }})
    {%- endif %}
),

candidates as (
    select * from {{ ref('candidates') }}
    where as_of in (select distinct as_of from labels)
),

labelled as (
    select distinct
        as_of,
        person_id,
        platform
    from labels
),

final as (
    select
        candidates.*,
        case when labels.product_id is null then 0 else 1 end as label,
        coalesce(labels.weight, 1) as label_weight
    from candidates
    semi join labelled using (as_of, person_id, platform)
    left join labels using (as_of, person_id, platform, product_id)
)

select * from final
