-- How much there was to find for each person and platform of the newest labelled snapshot, retrieved or not, and which
-- cohorts the person was in at the cut: an average over all may hide that a list fails those of whom little is known.
with labels as (
    select * from {{ ref('snapshot_labels') }}
),

pairs as (
    select * from {{ ref('candidate_pairs') }}
),

evaluated as (
    select as_of from {{ ref('snapshots') }}
    where role = 'evaluation'
),

items as (
    select * from {{ ref('evaluation_items') }}
),

-- several items of a platform may be one product
products as (
    select
        platform,
        product_id,
        max(popularity) as popularity
    from items
    group by all
),

known as (
    select
        as_of,
        person_id,
        count(*) as platforms,
        max(events_all_platforms) as events
    from {{ ref('person_platforms') }}
    group by all
),

profiles as (
    select * from {{ ref('person_profiles') }}
),

relevant as (
    select
        labels.as_of,
        labels.person_id,
        labels.platform,
        count(*) as relevant,
        -- rounded: the sum depends on the order in which threads add
        round(avg(products.popularity), 12) as popularity
    from labels
    inner join evaluated on labels.as_of = evaluated.as_of
    semi join pairs
        on labels.as_of = pairs.as_of and labels.person_id = pairs.person_id and labels.platform = pairs.platform
    left join products on labels.platform = products.platform and labels.product_id = products.product_id
    group by all
),

final as (
    select
        ---- ids
        relevant.as_of,
        relevant.person_id,
        relevant.platform,
        ---- cohorts
        case when known.events < 5 then 'new' when known.events < 50 then 'light' else 'heavy' end as history,
        case when known.platforms = 1 then 'one platform' else 'several platforms' end as reach,
        profiles.age_band,
        profiles.gender,
        ---- measures
        relevant.relevant,
        relevant.popularity
    from relevant
    inner join known on relevant.as_of = known.as_of and relevant.person_id = known.person_id
    left join profiles on relevant.as_of = profiles.as_of and relevant.person_id = profiles.person_id
)

select * from final
