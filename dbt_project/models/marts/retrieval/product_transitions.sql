-- What persons interacted with next: pairs at most three steps apart in a person's order of time, with weight 1, 1/2 or 1/3.
-- Counted in sixths these are whole numbers, which can be summed in any order (macro summable).
with history as (
    select * from {{ ref('person_history') }}
    where as_of in ({{ snapshots_to_build() }})
),

steps as (
    select
        history.as_of,
        history.product_id,
        next.product_id as next_product_id,
        sum(6.0 / (history.position - next.position)) as sixths
    from history
    inner join history as next
        on
            history.as_of = next.as_of
            and history.person_id = next.person_id
            and history.position - next.position between 1 and 3
    group by all
),

final as (
    select
        as_of,
        product_id,
        next_product_id,
        sixths / (sum(sixths) over (partition by as_of, product_id) + 60) as probability,
        row_number() over (partition by as_of, product_id order by sixths desc, next_product_id) as position
    from steps
    qualify position <= 30
)

select * from final
