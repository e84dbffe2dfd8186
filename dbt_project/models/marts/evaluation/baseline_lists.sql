{{ config(
    materialized='incremental',
    incremental_strategy='delete+insert',
    unique_key='as_of',
    post_hook='{{ drop_spent_snapshots() }}',
    meta={'kept_snapshots': 'evaluation'}
) }}

-- What simple methods would have shown the same people at the same cut: each ranks the whole catalogue, not our candidates.
with relevant as (
    select * from {{ ref('evaluation_relevant') }}
    {%- if is_incremental() %}
        where as_of not in (select distinct as_of from {{ this }})
    {%- endif %}
),

items as (
    select * from {{ ref('item_popularity') }}
    where as_of in (select as_of from relevant) and is_available
    qualify {{ one_of_a_product() }}
),

history as (
    select * from {{ ref('person_history') }}
    where as_of in (select as_of from relevant)
),

neighbours as (
    select * from {{ ref('product_neighbours') }}
    where as_of in (select as_of from relevant)
),

leads as (
    select * from {{ ref('item_similarity') }}
    where generator = 'ease' and as_of in (select as_of from relevant)
),

consumed as (
    select * from {{ ref('evaluation_consumed') }}
),

labels as (
    select * from {{ ref('snapshot_labels') }}
),

---- popularity: whoever had n products finds twenty others among the first n + 20 of the catalogue
most_popular as (
    select
        *,
        row_number() over (
            partition by as_of, platform, window_name order by window_events desc, item_id
        ) as position
    from (
        unpivot (
            select
                as_of,
                platform,
                item_id,
                product_id,
                events_1d as "1d",
                events_7d as "7d",
                events_28d as "28d",
                events_90d as "90d",
                events as "all"
            from items
        )
        on "1d", "7d", "28d", "90d", "all"
        into name window_name value window_events
    )
),

how_many as (
    select
        as_of,
        person_id,
        platform,
        count(*) as products
    from consumed
    group by all
),

-- a row for each position, so that the join gives no row of the catalogue that is not wanted
positions as (
    select
        relevant.as_of,
        relevant.person_id,
        relevant.platform,
        unnest(range(1, 21 + coalesce(how_many.products, 0))) as position
    from relevant
    left join how_many
        on
            relevant.as_of = how_many.as_of
            and relevant.person_id = how_many.person_id
            and relevant.platform = how_many.platform
),

by_popularity as (
    select
        positions.as_of,
        positions.person_id,
        positions.platform,
        most_popular.item_id,
        most_popular.product_id,
        'popularity_' || most_popular.window_name as contender,
        cast(most_popular.window_events as double) as score
    from positions
    inner join most_popular
        on
            positions.as_of = most_popular.as_of
            and positions.platform = most_popular.platform
            and positions.position = most_popular.position
),

---- what each product of a history says for others
led_to as (
    select
        history.as_of,
        history.person_id,
        neighbours.neighbour_id as product_id,
        'item_neighbours' as contender,
        neighbours.similarity * (0.2 + history.weight) as score
    from history
    inner join neighbours on history.as_of = neighbours.as_of and history.product_id = neighbours.product_id
    union all
    select
        history.as_of,
        history.person_id,
        leads.neighbour_id as product_id,
        'ease' as contender,
        leads.weight * {{ recency('history.occurred_at', 'history.as_of', 14) }} as score
    from history
    inner join leads on history.as_of = leads.as_of and history.product_id = leads.product_id
),

by_history as (
    select
        relevant.as_of,
        relevant.person_id,
        relevant.platform,
        items.item_id,
        items.product_id,
        led_to.contender,
        -- decimals, whose sum does not depend on the order in which threads add
        round(cast(sum(cast(led_to.score as decimal(18, 15))) as double), 9) as score
    from relevant
    inner join led_to on relevant.as_of = led_to.as_of and relevant.person_id = led_to.person_id
    inner join items
        on
            led_to.as_of = items.as_of
            and led_to.product_id = items.product_id
            and relevant.platform = items.platform
    group by all
),

scored as (
    select * from by_popularity
    union all
    select * from by_history
),

ranked as (
    select scored.*
    from scored
    anti join consumed
        on
            scored.as_of = consumed.as_of
            and scored.person_id = consumed.person_id
            and scored.platform = consumed.platform
            and scored.product_id = consumed.product_id
    qualify
        row_number() over (
            partition by scored.contender, scored.as_of, scored.person_id, scored.platform
            order by scored.score desc, scored.item_id
        ) <= 20
),

final as (
    select
        ranked.*,
        case when labels.product_id is null then 0 else 1 end as label
    from ranked
    left join labels
        on
            ranked.as_of = labels.as_of
            and ranked.person_id = labels.person_id
            and ranked.platform = labels.platform
            and ranked.product_id = labels.product_id
)

select * from final
