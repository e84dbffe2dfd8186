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
        max(popularity) as popularity,
        bool_and(is_new) as is_new
    from items
    group by all
),

cohorts as (
    select * from {{ ref('person_cohorts') }}
),

profiles as (
    select * from {{ ref('person_profiles') }}
),

interactions as (
    select * from {{ ref('interactions') }}
),

first_events as (
    select
        evaluated.as_of,
        interactions.person_id,
        interactions.platform,
        min(interactions.occurred_at) as first_at
    from evaluated
    inner join interactions on {{ known_by('interactions', 'evaluated') }}
    group by all
),

relevant as (
    select
        labels.as_of,
        labels.person_id,
        labels.platform,
        count(*) as relevant,
        count(*) filter (where products.is_new) as relevant_new,
        -- rounded: the sum depends on the order in which threads add
        round(avg(products.popularity), 12) as popularity
    from labels
    inner join evaluated on labels.as_of = evaluated.as_of
    semi join pairs
        on labels.as_of = pairs.as_of and labels.person_id = pairs.person_id and labels.platform = pairs.platform
    left join products on labels.platform = products.platform and labels.product_id = products.product_id
    group by all
),

-- whoever did something on a platform longer ago than a week is no newcomer there; one who never did is
newcomers as (
    select
        relevant.as_of,
        relevant.person_id,
        relevant.platform,
        count(elsewhere.first_at) > 0 as is_known_elsewhere
    from relevant
    anti join first_events as here
        on
            relevant.as_of = here.as_of
            and relevant.person_id = here.person_id
            and relevant.platform = here.platform
            and here.first_at < relevant.as_of - interval 7 day
    left join first_events as elsewhere
        on
            relevant.as_of = elsewhere.as_of
            and relevant.person_id = elsewhere.person_id
            and relevant.platform != elsewhere.platform
    group by all
),

final as (
    select
        ---- ids
        relevant.as_of,
        relevant.person_id,
        relevant.platform,
        ---- cohorts
        cohorts.activity,
        cohorts.platforms,
        case newcomers.is_known_elsewhere
            when true then 'first days, known elsewhere'
            when false then 'first days, known only here'
            else 'settled'
        end as tenure,
        profiles.age_band,
        profiles.gender,
        ---- measures
        relevant.relevant,
        relevant.relevant_new,
        relevant.popularity
    from relevant
    inner join cohorts on relevant.as_of = cohorts.as_of and relevant.person_id = cohorts.person_id
    left join newcomers
        on
            relevant.as_of = newcomers.as_of
            and relevant.person_id = newcomers.person_id
            and relevant.platform = newcomers.platform
    left join profiles on relevant.as_of = profiles.as_of and relevant.person_id = profiles.person_id
)

select * from final
