{{ config(materialized='view') }}

with items as (
    select * from {{ ref('item_popularity') }}
    where as_of in (
        select as_of from {{ ref('snapshots') }}
        where role != 'scoring'
    )
),

final as (
    select distinct
        as_of,
        platform,
        product_id
    from items
    where is_available
)

select * from final
