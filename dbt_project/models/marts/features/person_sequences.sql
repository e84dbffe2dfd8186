{{ config(meta={'kept_snapshots': 'needed'}) }}

-- What the ranker reads in order. In `candidates` the same long text would stand beside each of a person's hundred candidates.
with pairs as (
    select * from {{ ref('candidate_pairs') }}
    where as_of in ({{ snapshots_to_build() }})
),

persons as (
    select distinct
        as_of,
        person_id
    from pairs
),

interactions as (
    select * from {{ ref('interactions') }}
),

-- not from the view positive_interactions, which would compute the history of everybody first
positives as (
    select
        persons.as_of,
        persons.person_id,
        interactions.product_id,
        max(interactions.occurred_at) as occurred_at
    from persons
    inner join interactions
        on persons.person_id = interactions.person_id and {{ known_by('interactions', 'persons') }}
    where interactions.is_positive
    group by all
),

-- the model reads fifty of them (LONGEST in ml/ranking/network/fingerprints.py)
newest as (
    select
        as_of,
        person_id,
        array_to_string(list(product_id order by occurred_at desc, product_id)[1:50], '|') as recent_products
    from positives
    group by all
),

final as (
    select
        pairs.as_of,
        pairs.person_id,
        pairs.platform,
        newest.recent_products
    from pairs
    inner join newest using (as_of, person_id)
)

select * from final
