{{ config(meta={'kept_snapshots': 'needed'}) }}

-- What those who get candidates take, by category and by creator: on each platform, and over all of them where platform is null.
-- A take counts less the older it is, and for each of several creators in equal parts.
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

products as (
    select
        product_id,
        string_split(creators, '|') as creators
    from {{ ref('products') }}
    where creators is not null
),

-- decimals, whose sum does not depend on the order in which threads add
takes as (
    select
        persons.as_of,
        persons.person_id,
        unnest([interactions.platform, null]) as platform,
        interactions.product_id,
        interactions.category,
        cast(
            interactions.weight * {{ recency('interactions.occurred_at', 'persons.as_of', 180) }} as decimal(18, 15)
        ) as weight
    from persons
    inner join interactions
        on persons.person_id = interactions.person_id and {{ known_by('interactions', 'persons') }}
    where interactions.is_positive
),

aspects as (
    select
        as_of,
        person_id,
        platform,
        'category' as aspect,
        category as value,
        weight
    from takes
    union all
    select
        takes.as_of,
        takes.person_id,
        takes.platform,
        'creator' as aspect,
        unnest(products.creators) as value,
        cast(takes.weight / len(products.creators) as decimal(18, 15)) as weight
    from takes
    inner join products on takes.product_id = products.product_id
),

summed as (
    select
        as_of,
        person_id,
        platform,
        aspect,
        value,
        sum(weight) as weight
    from aspects
    group by all
    having sum(weight) > 0
),

final as (
    select
        as_of,
        person_id,
        platform,
        aspect,
        value,
        round(
            cast(weight as double)
            / cast(sum(weight) over (partition by as_of, person_id, platform, aspect) as double),
            9
        ) as share
    from summed
)

select * from final
