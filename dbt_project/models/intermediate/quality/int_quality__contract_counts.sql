{{ config(materialized='view') }}

with row_counts as (
    select * from {{ ref('int_quality__row_counts') }}
),

final as (
    select
        platform,
        contract,
        cast(sum(rows_staged) as bigint) as staged_rows,
        cast(sum(rows_duplicate) as bigint) as duplicate_rows,
        cast(sum(rows_quarantined) as bigint) as quarantined_rows
    from row_counts
    group by all
)

select * from final
