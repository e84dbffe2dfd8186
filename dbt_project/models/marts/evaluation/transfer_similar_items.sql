{{ config(materialized='view') }}

-- The night's own EASE weights make the lists that judge a source: histories are compared without training a ranker for each.
with item_similarity as (
    select * from {{ ref('item_similarity') }}
    where as_of in (
        select as_of from {{ ref('snapshots') }}
        where role != 'scoring'
    )
),

final as (
    select
        as_of,
        product_id,
        neighbour_id,
        weight
    from item_similarity
    where generator = 'ease'
)

select * from final
