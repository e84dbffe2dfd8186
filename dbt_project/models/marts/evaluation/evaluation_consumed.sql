-- What the lists of the evaluation snapshot may not show: products that the person interacted with before on any platform. Products
-- that they consumed on this very platform are allowed where its items are consumed again.
with relevant as (
    select * from {{ ref('evaluation_relevant') }}
),

interactions as (
    select * from {{ ref('interactions') }}
),

final as (
    select
        relevant.as_of,
        relevant.person_id,
        relevant.platform,
        interactions.product_id
    from relevant
    inner join interactions
        on relevant.person_id = interactions.person_id and {{ known_by('interactions', 'relevant') }}
    group by all
    having not bool_or({{ is_repeatable('interactions', 'relevant') }})
)

select * from final
