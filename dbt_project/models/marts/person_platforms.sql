{{ config(
    materialized='incremental',
    incremental_strategy='by_cut',
    post_hook='{{ drop_spent_snapshots() }}'
) }}

with cuts as (
    {{ snapshots_to_build() }}
),

person_accounts as (
    select * from {{ ref('person_accounts') }}
),

interactions as (
    select * from {{ ref('interactions') }}
),

product_items as (
    select * from {{ ref('product_items') }}
),

present as (
    select distinct
        cuts.as_of,
        person_accounts.person_id,
        person_accounts.platform
    from cuts
    inner join person_accounts on cuts.as_of > person_accounts.created_at
),

known as (
    select
        cuts.as_of,
        interactions.person_id,
        interactions.platform,
        count(*) as events,
        -- decimals, whose sum does not depend on the order in which threads add
        sum(cast(paid.price as decimal(18, 4))) as spend,
        sum(cast(paid.price as decimal(18, 4))) filter (
            where interactions.occurred_at >= cuts.as_of - interval 28 day
        ) as spend_28d,
        max(interactions.occurred_at) as last_at
    from cuts
    inner join interactions on {{ known_at_cut('interactions', 'cuts') }}
    left join product_items as paid
        on
            interactions.platform = paid.platform
            and interactions.item_id = paid.item_id
            and interactions.event_type = 'purchase'
            and paid.price between 0 and 1e12 -- neither NaN, which sorts after every number, nor infinity
    group by all
),

final as (
    select
        present.as_of,
        present.person_id,
        present.platform,
        coalesce(known.events, 0) as events,
        sum(coalesce(known.events, 0)) over (partition by present.as_of, present.person_id) as events_all_platforms,
        cast(coalesce(known.spend, 0) as double) as spend,
        cast(coalesce(known.spend_28d, 0) as double) as spend_28d,
        datediff('hour', known.last_at, present.as_of) / 24.0 as days_since_last
    from present
    left join known
        on
            present.as_of = known.as_of
            and present.person_id = known.person_id
            and present.platform = known.platform
)

select * from final
