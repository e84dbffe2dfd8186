with snapshots as (
    {{ snapshots_to_build() }}
),

product_items as (
    select * from {{ ref('product_items') }}
),

interactions as (
    select * from {{ ref('interactions') }}
),

on_offer as (
    select
        snapshots.as_of,
        product_items.product_id,
        product_items.platform,
        product_items.item_id,
        product_items.category,
        product_items.release_year,
        product_items.price,
        case when product_items.price > 0 and isfinite(product_items.price) then ln(product_items.price) end as log_price,
        product_items.is_available,
        datediff('hour', product_items.created_at, snapshots.as_of) / 24.0 as days_on_offer
    from snapshots
    inner join product_items on snapshots.as_of > product_items.created_at
),

-- the mean price of each platform, so that expensive and cheap mean the same in every shop and currency
prices as (
    select
        as_of,
        platform,
        {{ stable_sum('log_price') }} / count(log_price) as mean_log_price
    from on_offer
    group by all
),

-- a skip is not a positive interaction, but its value says how much the product was liked
known as (
    select
        snapshots.as_of,
        interactions.platform,
        interactions.product_id,
        count(*) filter (where interactions.is_positive and interactions.occurred_at >= snapshots.as_of - interval 1 day) as events_1d,
        count(*) filter (where interactions.is_positive and interactions.occurred_at >= snapshots.as_of - interval 7 day) as events_7d,
        count(*) filter (where interactions.is_positive and interactions.occurred_at >= snapshots.as_of - interval 28 day) as events_28d,
        count(*) filter (where interactions.is_positive and interactions.occurred_at >= snapshots.as_of - interval 90 day) as events_90d,
        count(*) filter (where interactions.is_positive) as events,
        count(*) as judgements,
        sum({{ summable('interactions.value', 9) }}) as value_sum
    from snapshots
    inner join interactions on {{ known_by('interactions', 'snapshots') }}
    where interactions.is_positive or interactions.event_type = 'skip'
    group by all
),

across as (
    select
        as_of,
        product_id,
        sum(events_7d) as events_7d,
        sum(events_28d) as events_28d,
        sum(events) as events,
        sum(judgements) as judgements,
        sum(value_sum) as value_sum
    from known
    group by all
),

-- ten events of a middling value are added to the mean value, so that one five-star post does not make a masterpiece
final as (
    select
        ---- ids
        on_offer.as_of,
        on_offer.platform,
        on_offer.item_id,
        on_offer.product_id,
        ---- what it is
        on_offer.category,
        on_offer.release_year,
        on_offer.price,
        round(on_offer.log_price - prices.mean_log_price, 9) as price_level,
        on_offer.is_available,
        on_offer.days_on_offer,
        ---- measures on the platform
        coalesce(known.events_1d, 0) as events_1d,
        coalesce(known.events_7d, 0) as events_7d,
        coalesce(known.events_28d, 0) as events_28d,
        coalesce(known.events_90d, 0) as events_90d,
        coalesce(known.events, 0) as events,
        ---- measures over all platforms
        coalesce(across.events_7d, 0) as product_events_7d,
        coalesce(across.events_28d, 0) as product_events_28d,
        coalesce(across.events, 0) as product_events,
        cast((coalesce(across.value_sum, 0) + 10 * 0.7) / (coalesce(across.judgements, 0) + 10) as double) as mean_value,
        ---- trend: this week against the month before it, both as daily rates
        (coalesce(across.events_7d, 0) + 1) / 7.0 / ((coalesce(across.events_28d, 0) + 4) / 28.0) as trend
    from on_offer
    inner join prices using (as_of, platform)
    left join known using (as_of, platform, product_id)
    left join across using (as_of, product_id)
)

select * from final
