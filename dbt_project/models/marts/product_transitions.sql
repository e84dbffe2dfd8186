{{ config(
    materialized='incremental',
    incremental_strategy='delete+insert',
    unique_key='as_of',
    post_hook='{{ drop_spent_snapshots() }}'
) }}

-- What people took next: pairs at most three steps apart in a person's own order of time.
with history as (
    select * from {{ ref('person_history') }}
    where as_of in ({{ snapshots_to_build() }})
),

steps as (
    select
        history.as_of,
        history.product_id,
        next.product_id as next_product_id,
        sum(1.0 / (history.position - next.position)) as weight
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
        weight / (sum(weight) over (partition by as_of, product_id) + 10) as probability,
        row_number() over (partition by as_of, product_id order by round(weight, 9) desc, next_product_id) as position
    from steps
    qualify position <= 30
)

select * from final
