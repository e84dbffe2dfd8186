with sources as (
    select * from {{ ref('candidate_sources') }}
    where as_of in ({{ snapshots_to_build() }})
),

scores as (
    select * from {{ ref('candidate_scores') }}
    where as_of in ({{ snapshots_to_build() }})
),

items as (
    select * exclude (product_id) from {{ ref('item_popularity') }}
    where as_of in ({{ snapshots_to_build() }})
),

profiles as (
    select * from {{ ref('person_profiles') }}
    where as_of in ({{ snapshots_to_build() }})
),

person_platforms as (
    select * from {{ ref('person_platforms') }}
    where as_of in ({{ snapshots_to_build() }})
),

-- one row a person: in a join by category the planner sometimes built the hash table of the million candidates
tastes as (
    select
        as_of,
        person_id,
        map(list(category), list(share)) as shares
    from {{ ref('person_categories') }}
    where as_of in ({{ snapshots_to_build() }})
    group by all
),

platform_tastes as (
    select
        as_of,
        person_id,
        platform,
        map(list(value), list(share)) as shares
    from {{ ref('person_tastes') }}
    where as_of in ({{ snapshots_to_build() }}) and aspect = 'category' and platform is not null
    group by all
),

prices as (
    select * from {{ ref('person_prices') }}
    where as_of in ({{ snapshots_to_build() }})
),

prices_anywhere as (
    select
        as_of,
        person_id,
        price_level
    from prices
    where platform is null
),

-- lists of persons and of products have the same order of values, because `final` computes their dot product
person_contexts as (
    select
        as_of,
        person_id,
        list(share order by value) filter (where context = 'hours') as hours,
        list(share order by value) filter (where context = 'weekday') as weekdays,
        list(share order by value) filter (where context = 'device') as devices
    from {{ ref('person_contexts') }}
    where as_of in ({{ snapshots_to_build() }})
    group by all
),

product_contexts as (
    select
        as_of,
        product_id,
        list(lift order by value) filter (where context = 'hours') as hours,
        list(lift order by value) filter (where context = 'weekday') as weekdays,
        list(lift order by value) filter (where context = 'device') as devices
    from {{ ref('product_contexts') }}
    where as_of in ({{ snapshots_to_build() }})
    group by all
),

-- joined here, where rows are few, and not beside each of the million candidates
habits as (
    select
        person_platforms.as_of,
        person_platforms.person_id,
        person_platforms.platform,
        person_platforms.events,
        person_platforms.events_all_platforms,
        person_platforms.spend,
        person_platforms.spend_28d,
        platform_tastes.shares as category_shares,
        prices_anywhere.price_level,
        platform_prices.price_level as platform_price_level,
        person_contexts.hours,
        person_contexts.weekdays,
        person_contexts.devices
    from person_platforms
    left join platform_tastes using (as_of, person_id, platform)
    left join prices as platform_prices using (as_of, person_id, platform)
    left join prices_anywhere using (as_of, person_id)
    left join person_contexts using (as_of, person_id)
),

creators as (
    select
        product_id,
        unnest(string_split(creators, '|')) as creator
    from {{ ref('products') }}
),

creator_sums as (
    select
        scores.as_of,
        scores.person_id,
        scores.product_id,
        tastes.platform,
        {{ stable_sum('tastes.share', 9) }} as share
    from scores
    inner join creators on scores.product_id = creators.product_id
    inner join {{ ref('person_tastes') }} as tastes
        on
            scores.as_of = tastes.as_of
            and scores.person_id = tastes.person_id
            and tastes.aspect = 'creator'
            and creators.creator = tastes.value
    group by all
),

creator_tastes as (
    select
        as_of,
        person_id,
        product_id,
        max(share) filter (where platform is null) as share,
        map(list(platform) filter (where platform is not null), list(share) filter (where platform is not null)) as shares
    from creator_sums
    group by all
),

segments as (
    select * from {{ ref('segment_popularity') }}
    where as_of in ({{ snapshots_to_build() }})
),

newest as (
    select
        as_of,
        person_id,
        product_id as last_product_id,
        category as last_category
    from {{ ref('person_history') }}
    where as_of in ({{ snapshots_to_build() }}) and position = 1
),

fused as (
    select
        as_of,
        person_id,
        platform,
        item_id,
        product_id,
        count(*) as generators,
        max(score) filter (where generator = 'neighbours') as neighbour_score,
        min(position) filter (where generator = 'neighbours') as neighbour_rank,
        min(position) filter (where generator = 'ease') as ease_rank,
        min(position) filter (where generator = 'graph') as graph_rank,
        min(position) filter (where generator = 'towers') as tower_rank,
        max(score) filter (where generator = 'transitions') as transition_score,
        min(position) filter (where generator = 'transitions') as transition_rank,
        min(position) filter (where generator = 'trending') as trending_rank,
        min(position) filter (where generator = 'segment_trending') as segment_trending_rank,
        min(position) filter (where generator = 'popular') as popular_rank,
        max(score) filter (where generator = 'category_taste') as taste_score,
        min(position) filter (where generator = 'category_taste') as taste_rank,
        max(score) filter (where generator = 'new_items') as new_item_score,
        min(position) filter (where generator = 'new_items') as new_item_rank,
        max(score) filter (where generator = 'repeats') as repeat_score,
        min(position) filter (where generator = 'repeats') as repeat_rank
    from sources
    group by all
),

final as (
    select
        ---- ids
        fused.as_of,
        fused.person_id,
        fused.platform,
        fused.item_id,
        fused.product_id,
        ---- what proposed it
        cast(fused.generators as double) as generators,
        fused.neighbour_score,
        1.0 / (5 + fused.neighbour_rank) as neighbour_reciprocal_rank,
        1.0 / (5 + fused.ease_rank) as ease_reciprocal_rank,
        1.0 / (5 + fused.graph_rank) as graph_reciprocal_rank,
        1.0 / (5 + fused.tower_rank) as tower_reciprocal_rank,
        fused.transition_score,
        1.0 / (5 + fused.transition_rank) as transition_reciprocal_rank,
        1.0 / (5 + fused.trending_rank) as trending_reciprocal_rank,
        1.0 / (5 + fused.segment_trending_rank) as segment_trending_reciprocal_rank,
        1.0 / (5 + fused.popular_rank) as popular_reciprocal_rank,
        fused.taste_score,
        1.0 / (5 + fused.taste_rank) as taste_reciprocal_rank,
        fused.new_item_score,
        1.0 / (5 + fused.new_item_rank) as new_item_reciprocal_rank,
        coalesce(fused.repeat_score, 0) as repeat_score,
        coalesce(1.0 / (5 + fused.repeat_rank), 0) as repeat_reciprocal_rank,
        ---- the item
        items.category,
        cast(cast(floor(items.release_year / 10) * 10 as integer) as varchar) as decade,
        cast(items.release_year as double) as release_year,
        items.price,
        cast(items.persons_1d as double) as item_events_1d,
        cast(items.persons_7d as double) as item_events_7d,
        cast(items.persons_28d as double) as item_events_28d,
        cast(items.persons_90d as double) as item_events_90d,
        cast(items.persons as double) as item_events_all,
        cast(items.product_persons_7d as double) as product_events_7d,
        cast(items.product_persons_28d as double) as product_events_28d,
        cast(items.product_persons as double) as product_events,
        items.mean_value as item_mean_value,
        items.trend as item_trend,
        items.days_on_offer,
        ---- the person
        coalesce(profiles.age_band, 'unknown') as age_band,
        coalesce(profiles.gender, 'unknown') as gender,
        cast(profiles.events as double) as person_events,
        cast(profiles.events_7d as double) as person_events_7d,
        cast(profiles.events_28d as double) as person_events_28d,
        profiles.mean_value as person_mean_value,
        profiles.days_since_last,
        profiles.days_since_first,
        cast(habits.events as double) as platform_events,
        habits.events / habits.events_all_platforms as platform_share,
        habits.spend as platform_spend,
        habits.spend_28d as platform_spend_28d,
        ---- the person and the item
        scores.ease_3d,
        scores.ease_14d,
        scores.ease_60d,
        scores.graph_14d,
        scores.tower_score,
        coalesce(tastes.shares[items.category], 0) as category_share,
        coalesce(habits.category_shares[items.category], 0) as platform_category_share,
        coalesce(creator_tastes.share, 0) as creator_share,
        coalesce(creator_tastes.shares[fused.platform], 0) as platform_creator_share,
        round(items.price_level - habits.price_level, 9) as price_gap,
        round(items.price_level - habits.platform_price_level, 9) as platform_price_gap,
        round(list_dot_product(habits.hours, contexts.hours), 9) as hour_lift,
        round(list_dot_product(habits.weekdays, contexts.weekdays), 9) as weekday_lift,
        round(list_dot_product(habits.devices, contexts.devices), 9) as device_lift,
        cast(coalesce(segments.persons_7d, 0) as double) as segment_events_7d,
        cast(coalesce(segments.persons_28d, 0) as double) as segment_events_28d,
        newest.last_product_id,
        newest.last_category
    from fused
    inner join items using (as_of, platform, item_id)
    inner join profiles using (as_of, person_id)
    inner join habits using (as_of, person_id, platform)
    inner join scores using (as_of, person_id, product_id)
    left join tastes using (as_of, person_id)
    left join product_contexts as contexts using (as_of, product_id)
    left join creator_tastes using (as_of, person_id, product_id)
    left join newest using (as_of, person_id)
    left join segments
        on
            fused.as_of = segments.as_of
            and fused.product_id = segments.product_id
            and coalesce(profiles.age_band, 'unknown') = segments.segment
)

select * from final
