{{ config(materialized='view') }}

-- A record without events moves no list when it joins another: its company brings nobody a history.
with events as (
    select * from {{ ref('int_events') }}
),

final as (
    select distinct
        'account' as record,
        platform,
        account_id as id
    from events
    where account_id is not null
    union all
    select distinct
        'item' as record,
        platform,
        item_id as id
    from events
)

select * from final
