{{ config(
    materialized='incremental',
    incremental_strategy='by_cut',
    post_hook='{{ drop_spent_snapshots() }}'
) }}

-- The newest interactions of each person at each cut, newest first: what neighbours, transitions and tastes are made of.
with cuts as (
    {{ snapshots_to_build() }}
),

interactions as (
    select * from {{ ref('interactions') }}
),

known as (
    select
        cuts.as_of,
        interactions.person_id,
        interactions.product_id,
        max_by(interactions.platform, (interactions.occurred_at, interactions.event_id)) as platform,
        max_by(interactions.category, (interactions.occurred_at, interactions.event_id)) as category,
        max(interactions.occurred_at) as occurred_at,
        max(interactions.weight) as weight
    from cuts
    inner join interactions on {{ known_at_cut('interactions', 'cuts') }}
    group by all
),

final as (
    select
        *,
        row_number() over (partition by as_of, person_id order by occurred_at desc, product_id) as position
    from known
    qualify position <= 30
)

select * from final
