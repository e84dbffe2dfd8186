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

-- A skip is not a positive interaction, but its value says how much the product was liked. Each person counts once, however
-- many events they have: otherwise one busy account moves everybody's lists.
judged as (
    select
        snapshots.as_of,
        interactions.platform,
        interactions.product_id,
        interactions.person_id,
        max(interactions.occurred_at) filter (where interactions.is_positive) as newest_at,
        count(*) as judgements,
        sum({{ summable('interactions.value', 9) }}) as value_sum
    from snapshots
    inner join interactions on {{ known_by('interactions', 'snapshots') }}
    where interactions.is_positive or interactions.event_type = 'skip'
    group by all
),

-- the windows lie within each other, so that a person's newest positive interaction says in which of them they count
known as (
    select
        as_of,
        platform,
        product_id,
        count(*) filter (where newest_at >= as_of - interval 1 day) as persons_1d,
        count(*) filter (where newest_at >= as_of - interval 7 day) as persons_7d,
        count(*) filter (where newest_at >= as_of - interval 28 day) as persons_28d,
        count(*) filter (where newest_at >= as_of - interval 90 day) as persons_90d,
        count(newest_at) as persons
    from judged
    group by all
),

judged_anywhere as (
    select
        as_of,
        product_id,
        person_id,
        max(newest_at) as newest_at,
        {{ summable('sum(value_sum) / sum(judgements)', 9) }} as mean_value
    from judged
    group by all
),

across as (
    select
        as_of,
        product_id,
        count(*) filter (where newest_at >= as_of - interval 7 day) as persons_7d,
        count(*) filter (where newest_at >= as_of - interval 28 day) as persons_28d,
        count(newest_at) as persons,
        count(*) as judges,
        sum(mean_value) as value_sum
    from judged_anywhere
    group by all
),

-- ten persons with a middling value are added to the mean value, so that one five-star post does not make a masterpiece
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
        coalesce(known.persons_1d, 0) as persons_1d,
        coalesce(known.persons_7d, 0) as persons_7d,
        coalesce(known.persons_28d, 0) as persons_28d,
        coalesce(known.persons_90d, 0) as persons_90d,
        coalesce(known.persons, 0) as persons,
        ---- measures over all platforms
        coalesce(across.persons_7d, 0) as product_persons_7d,
        coalesce(across.persons_28d, 0) as product_persons_28d,
        coalesce(across.persons, 0) as product_persons,
        cast((coalesce(across.value_sum, 0) + 10 * 0.7) / (coalesce(across.judges, 0) + 10) as double) as mean_value,
        ---- trend: this week against the month before it, both as daily rates
        (coalesce(across.persons_7d, 0) + 1) / 7.0 / ((coalesce(across.persons_28d, 0) + 4) / 28.0) as trend
    from on_offer
    inner join prices using (as_of, platform)
    left join known using (as_of, platform, product_id)
    left join across using (as_of, product_id)
)

select * from final
