-- Whatever a person did with a product on any platform, they know it.
with persons as (
    select distinct
        as_of,
        person_id,
        person_key
    from {{ ref('candidate_pairs') }}
    where {{ is_proposed() }}
),

interactions as (
    select * from {{ ref('interactions') }}
),

final as (
    select distinct
        persons.as_of,
        persons.person_key,
        interactions.product_id
    from persons
    inner join interactions
        on persons.person_id = interactions.person_id and {{ known_by('interactions', 'persons') }}
)

select * from final
