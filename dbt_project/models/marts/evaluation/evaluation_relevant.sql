-- The relevant products of each person and platform at the newest labelled snapshot, retrieved or not, and the person's
-- cohorts. An average over all persons may hide that lists are bad for those about whom little is known.
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
        -- rounded, because popularity is a float (macro summable)
        round(avg(products.popularity), 12) as popularity
    from labels
    inner join evaluated using (as_of)
    semi join pairs using (as_of, person_id, platform)
    left join products using (platform, product_id)
    group by all
),

-- a newcomer to a platform has no interaction there that is older than a week
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
    inner join cohorts using (as_of, person_id)
    left join newcomers using (as_of, person_id, platform)
    left join profiles using (as_of, person_id)
)

select * from final
