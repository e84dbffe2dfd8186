{{ config(meta={'kept_snapshots': 'needed'}) }}

-- What those who get candidates interact with, by category and by creator: on each platform, and on all platforms where platform is
-- null. An interaction's weight halves every 180 days. The creators of a product share its weight equally.
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

weighted as (
    select
        persons.as_of,
        persons.person_id,
        unnest([interactions.platform, null]) as platform,
        interactions.product_id,
        interactions.category,
        {{ summable('interactions.weight * ' ~ recency('interactions.occurred_at', 'persons.as_of', 180)) }} as weight
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
    from weighted
    union all
    select
        weighted.as_of,
        weighted.person_id,
        weighted.platform,
        'creator' as aspect,
        unnest(products.creators) as value,
        {{ summable('weighted.weight / len(products.creators)') }} as weight
    from weighted
    inner join products on weighted.product_id = products.product_id
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
