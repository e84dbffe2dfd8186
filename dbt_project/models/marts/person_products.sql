-- Whatever a person did with a product, anywhere: it is no news to them, and no list recommends it.
with interactions as (
    select * from {{ ref('interactions') }}
),

final as (
    select distinct
        person_id,
        product_id
    from interactions
    where occurred_at < {{ as_of() }}
)

select * from final
