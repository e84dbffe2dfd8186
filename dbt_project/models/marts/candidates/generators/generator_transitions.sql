-- Products that persons most often interacted with after the newest five of the person's history.
with persons as (
    select distinct
        as_of,
        person_id,
        person_key
    from {{ ref('candidate_pairs') }}
    where {{ is_proposed() }}
),

history as (
    select * from {{ ref('person_history') }}
    where position <= 5 and {{ is_proposed() }}
),

transitions as (
    select * from {{ ref('product_transitions') }}
    where {{ is_proposed() }}
),

scored as (
    select
        persons.as_of,
        persons.person_key,
        transitions.next_product_id as product_id,
        round({{ stable_sum('transitions.probability / history.position') }}, 9) as score
    from persons
    inner join history using (as_of, person_id)
    inner join transitions on history.as_of = transitions.as_of and history.product_id = transitions.product_id
    group by all
),

{{ offers_of_the_best('scored', 40) }}
