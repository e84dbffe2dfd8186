-- Products that are most similar to the newest twenty of the person's history, by the persons who interacted with both.
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
    where position <= 20 and {{ is_proposed() }}
),

neighbours as (
    select * from {{ ref('product_neighbours') }}
    where {{ is_proposed() }}
),

scored as (
    select
        persons.as_of,
        persons.person_key,
        neighbours.neighbour_id as product_id,
        round({{ stable_sum('neighbours.similarity * (0.2 + history.weight) * pow(0.95, history.position - 1)') }}, 9) as score
    from persons
    inner join history using (as_of, person_id)
    inner join neighbours on history.as_of = neighbours.as_of and history.product_id = neighbours.product_id
    group by all
),

{{ offers_of_the_best('scored', 100) }}
