{{ config(meta={'kept_snapshots': 'needed'}) }}

-- How expensive the items are that those who get candidates interact with: on each platform, and on all platforms where
-- platform is null. An interaction's weight halves every 180 days. Items without a price are left out.
with persons as (
    select distinct
        as_of,
        person_id
    from {{ ref('candidate_pairs') }}
    where as_of in ({{ snapshots_to_build() }})
),

interactions as (
    select * from {{ ref('interactions') }}
),

items as (
    select * from {{ ref('item_popularity') }}
    where as_of in ({{ snapshots_to_build() }}) and price_level is not null
),

-- materialized, because otherwise the planner may first join all interactions to the items of all snapshots
known as materialized (
    select
        persons.as_of,
        persons.person_id,
        interactions.platform,
        interactions.item_id,
        interactions.weight * {{ recency('interactions.occurred_at', 'persons.as_of', 180) }} as weight
    from persons
    inner join interactions
        on persons.person_id = interactions.person_id and {{ known_by('interactions', 'persons') }}
    where interactions.is_positive
),

weighted as (
    select
        known.as_of,
        known.person_id,
        unnest([known.platform, null]) as platform,
        {{ summable('known.weight') }} as weight,
        {{ summable('known.weight * items.price_level') }} as weighted_level
    from known
    inner join items using (as_of, platform, item_id)
),

final as (
    select
        as_of,
        person_id,
        platform,
        round(cast(sum(weighted_level) as double) / cast(sum(weight) as double), 9) as price_level
    from weighted
    group by all
    having sum(weight) > 0
)

select * from final
