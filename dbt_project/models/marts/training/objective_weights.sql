{{ config(materialized='view') }}

-- All objectives that one example counts for in one row, for an example has one row however many there are.
with labels as (
    select * from {{ ref('objective_labels') }}
),

final as (
    select
        as_of,
        person_id,
        platform,
        product_id,
        map(list(objective), list(weight)) as weight_by_objective
    from labels
    group by all
)

select * from final
