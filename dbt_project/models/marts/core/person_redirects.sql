with redirects as (
    select * from {{ source('identity', 'person_redirects') }}
),

final as (
    select
        retired_person_id,
        person_id
    from redirects
)

select * from final
