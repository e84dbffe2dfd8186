{{ config(materialized='view') }}

-- What each product of a person's history adds to the score of an item: exactly as the generator adds it up, else a reason would
-- name what did not count most.
with list_generators as (
    select * from {{ ref('list_generators') }}
),

tonight as (
    select as_of from {{ ref('snapshots') }}
    where role = 'scoring'
),

history as (
    select
        person_id,
        product_id,
        weight,
        position,
        {{ recency('occurred_at', 'as_of', 14) }} as recency
    from {{ ref('person_history') }}
    where as_of in (select as_of from tonight)
),

item_similarity as (
    select * from {{ ref('item_similarity') }}
    where as_of in (select as_of from tonight)
),

product_neighbours as (
    select * from {{ ref('product_neighbours') }}
    where as_of in (select as_of from tonight)
),

product_transitions as (
    select * from {{ ref('product_transitions') }}
    where as_of in (select as_of from tonight)
),

similar_items as (
    select
        generator,
        product_id,
        neighbour_id,
        weight as strength
    from item_similarity
    union all
    select
        'neighbours' as generator,
        product_id,
        neighbour_id,
        similarity as strength
    from product_neighbours
    union all
    select
        'transitions' as generator,
        product_id,
        next_product_id as neighbour_id,
        probability as strength
    from product_transitions
),

final as (
    select
        list_generators.person_id,
        list_generators.platform,
        list_generators.item_id,
        history.product_id,
        round(similar_items.strength * case list_generators.generator
            when 'neighbours' then (0.2 + history.weight) * pow(0.95, history.position - 1)
            when 'transitions' then 1 / history.position
            else history.recency
        end, 12) as contribution
    from list_generators
    inner join history on list_generators.person_id = history.person_id
    inner join similar_items
        on
            list_generators.generator = similar_items.generator
            and history.product_id = similar_items.product_id
            and list_generators.product_id = similar_items.neighbour_id
    where history.position <= case list_generators.generator when 'neighbours' then 20 when 'transitions' then 5 else 30 end
)

select * from final
