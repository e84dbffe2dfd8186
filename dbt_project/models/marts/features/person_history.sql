-- The newest products of each person. Neighbours, transitions and tastes are computed from them.
with positives as (
    select * from {{ ref('positive_interactions') }}
    where as_of in ({{ snapshots_to_build() }})
),

final as (
    select
        as_of,
        person_id,
        product_id,
        platform,
        category,
        occurred_at,
        weight,
        row_number() over (partition by as_of, person_id order by occurred_at desc, product_id) as position
    from positives
    qualify position <= 30
)

select * from final
