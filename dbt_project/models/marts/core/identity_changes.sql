with accepted as (
    -- nobody uses changes that the gate stopped
    select as_of from {{ source('identity', 'person_accepted') }}
    where as_of <= {{ as_of() }}
),

person_changes as (
    select * from {{ source('identity', 'person_changes') }}
    where as_of in (select as_of from accepted)
),

product_changes as (
    select * from {{ source('identity', 'product_changes') }}
    where as_of in (select as_of from accepted)
),

final as (
    select
        cast(as_of as date) as as_of,
        'person' as entity,
        kind,
        person_id as entity_id,
        other_person_id as other_id,
        accounts as records,
        evidence
    from person_changes
    union all
    select
        cast(as_of as date) as as_of,
        'product' as entity,
        kind,
        product_id as entity_id,
        other_product_id as other_id,
        items as records,
        evidence
    from product_changes
)

select * from final
