-- Candidates of those who took something in the horizon: only for them does a list left alone say anything.
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

takers as (
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
    semi join takers
        on
            candidates.as_of = takers.as_of
            and candidates.person_id = takers.person_id
            and candidates.platform = takers.platform
    left join labels
        on
            candidates.as_of = labels.as_of
            and candidates.person_id = labels.person_id
            and candidates.platform = labels.platform
            and candidates.product_id = labels.product_id
)

select * from final
