{{ config(meta={'kept_snapshots': 'needed'}) }}

-- How dear those who get candidates buy: on each platform, and over all of them where platform is null. A take counts less
-- the older it is; what has no price counts not at all.
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

-- apart, for else the planner may join all interactions to the items of all cuts first
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

-- decimals, whose sum does not depend on the order in which threads add
takes as (
    select
        known.as_of,
        known.person_id,
        unnest([known.platform, null]) as platform,
        cast(known.weight as decimal(18, 15)) as weight,
        cast(known.weight * items.price_level as decimal(18, 15)) as weighted_level
    from known
    inner join items
        on known.as_of = items.as_of and known.platform = items.platform and known.item_id = items.item_id
),

final as (
    select
        as_of,
        person_id,
        platform,
        round(cast(sum(weighted_level) as double) / cast(sum(weight) as double), 9) as price_level
    from takes
    group by all
    having sum(weight) > 0
)

select * from final
