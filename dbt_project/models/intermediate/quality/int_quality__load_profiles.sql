{{ config(materialized='view', tags=['stage']) }}

with final as (
    select * from {{ ref('int_quality__account_profiles') }}
    union all
    select * from {{ ref('int_quality__item_profiles') }}
    union all
    select * from {{ ref('int_quality__event_profiles') }}
)

select * from final
