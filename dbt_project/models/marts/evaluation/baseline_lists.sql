{{ config(
    materialized='incremental',
    incremental_strategy='delete+insert',
    unique_key='as_of',
    post_hook='{{ drop_spent_snapshots() }}',
    meta={'kept_snapshots': 'evaluation'}
) }}

-- What simple methods would have shown the same persons at the same snapshot. Each ranks the whole catalogue, not our candidates.
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

similar_items as (
    select * from {{ ref('item_similarity') }}
    where generator = 'ease' and as_of in (select as_of from relevant)
),

consumed as (
    select * from {{ ref('evaluation_consumed') }}
),

labels as (
    select * from {{ ref('snapshot_labels') }}
),

---- popularity: a person who consumed n products finds twenty other ones among the first n + 20 of the catalogue
most_popular as (
    select
        *,
        row_number() over (
            partition by as_of, platform, window_name order by window_persons desc, item_id
        ) as position
    from (
        unpivot (
            select
                as_of,
                platform,
                item_id,
                product_id,
                persons_1d as "1d",
                persons_7d as "7d",
                persons_28d as "28d",
                persons_90d as "90d",
                persons as "all"
            from items
        )
        on "1d", "7d", "28d", "90d", "all"
        into name window_name value window_persons
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

-- a row for each position, so that the join gives only rows of the catalogue that are needed
positions as (
    select
        relevant.as_of,
        relevant.person_id,
        relevant.platform,
        unnest(range(1, 21 + coalesce(how_many.products, 0))) as position
    from relevant
    left join how_many using (as_of, person_id, platform)
),

by_popularity as (
    select
        positions.as_of,
        positions.person_id,
        positions.platform,
        most_popular.item_id,
        most_popular.product_id,
        'popularity_' || most_popular.window_name as contender,
        cast(most_popular.window_persons as double) as score
    from positions
    inner join most_popular using (as_of, platform, position)
),

---- the score that each product of a history gives to similar ones
evidence as (
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
        similar_items.neighbour_id as product_id,
        'ease' as contender,
        similar_items.weight * {{ recency('history.occurred_at', 'history.as_of', 14) }} as score
    from history
    inner join similar_items on history.as_of = similar_items.as_of and history.product_id = similar_items.product_id
),

by_history as (
    select
        relevant.as_of,
        relevant.person_id,
        relevant.platform,
        items.item_id,
        items.product_id,
        evidence.contender,
        round({{ stable_sum('evidence.score') }}, 9) as score
    from relevant
    inner join evidence on relevant.as_of = evidence.as_of and relevant.person_id = evidence.person_id
    inner join items
        on
            evidence.as_of = items.as_of
            and evidence.product_id = items.product_id
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
    anti join consumed using (as_of, person_id, platform, product_id)
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
    left join labels using (as_of, person_id, platform, product_id)
)

select * from final
