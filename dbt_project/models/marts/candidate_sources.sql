{{ config(
    materialized='incremental',
    incremental_strategy='delete+insert',
    unique_key='as_of',
    post_hook='{{ drop_spent_snapshots(keep_grid=false) }}'
) }}

-- What each generator proposes to whom. A new generator is one more CTE and one more branch of the union.
with pairs as (
    select * from {{ ref('candidate_pairs') }}
    where as_of in ({{ snapshots_to_build() }})
),

persons_at_cut as (
    select distinct
        as_of,
        person_id
    from pairs
),

history as (
    select person_history.*
    from {{ ref('person_history') }} as person_history
    semi join persons_at_cut
        on person_history.as_of = persons_at_cut.as_of and person_history.person_id = persons_at_cut.person_id
    where person_history.position <= 20
),

neighbours as (
    select * from {{ ref('product_neighbours') }}
    where as_of in ({{ snapshots_to_build() }})
),

transitions as (
    select * from {{ ref('product_transitions') }}
    where as_of in ({{ snapshots_to_build() }})
),

tastes as (
    select * from {{ ref('person_categories') }}
    where as_of in ({{ snapshots_to_build() }}) and position <= 3
),

items as (
    select * from {{ ref('item_popularity') }}
    where as_of in ({{ snapshots_to_build() }}) and is_available
),

interactions as (
    select * from {{ ref('interactions') }}
),

-- nobody is offered again what they took anywhere
consumed as (
    select distinct
        persons_at_cut.as_of,
        interactions.person_id,
        interactions.product_id
    from persons_at_cut
    inner join interactions
        on persons_at_cut.person_id = interactions.person_id and {{ known_at_cut('interactions', 'persons_at_cut') }}
),

---- generators by person: what the newest of the history leads to
by_neighbours as (
    select
        history.as_of,
        history.person_id,
        neighbours.neighbour_id as product_id,
        round(sum(neighbours.similarity * (0.2 + history.weight) * pow(0.95, history.position - 1)), 9) as score
    from history
    inner join neighbours on history.as_of = neighbours.as_of and history.product_id = neighbours.product_id
    group by all
),

by_transitions as (
    select
        history.as_of,
        history.person_id,
        transitions.next_product_id as product_id,
        round(sum(transitions.probability / history.position), 9) as score
    from history
    inner join transitions on history.as_of = transitions.as_of and history.product_id = transitions.product_id
    where history.position <= 5
    group by all
),

by_person as (
    select
        *,
        'neighbours' as generator
    from by_neighbours
    union all by name
    select
        *,
        'transitions' as generator
    from by_transitions
),

-- cut early: a platform lacks some products, so more are kept than its list will hold
best_by_person as (
    select by_person.*
    from by_person
    anti join consumed
        on
            by_person.as_of = consumed.as_of
            and by_person.person_id = consumed.person_id
            and by_person.product_id = consumed.product_id
    qualify row_number() over (
        partition by by_person.as_of, by_person.person_id, by_person.generator
        order by by_person.score desc, by_person.product_id
    ) <= case by_person.generator when 'neighbours' then 100 else 40 end
),

---- generators by platform: the best of each list, for everybody there
platform_lists as (
    select
        as_of,
        platform,
        item_id,
        product_id,
        'trending' as generator,
        cast(events_7d + events_1d as double) as score
    from items
    where events_7d > 0
    qualify row_number() over (partition by as_of, platform order by events_7d + events_1d desc, item_id) <= 100
    union all
    select
        as_of,
        platform,
        item_id,
        product_id,
        'popular' as generator,
        cast(product_events_28d as double) as score
    from items
    where product_events_28d > 0
    qualify row_number() over (partition by as_of, platform order by product_events_28d desc, item_id) <= 100
    union all
    select
        as_of,
        platform,
        item_id,
        product_id,
        'new_items' as generator,
        round((1 + product_events_28d) * pow(0.5, days_on_offer / 14), 9) as score
    from items
    where days_on_offer <= 60
    qualify row_number() over (
        partition by as_of, platform
        order by round((1 + product_events_28d) * pow(0.5, days_on_offer / 14), 9) desc, item_id
    ) <= 30
),

category_lists as (
    select
        as_of,
        platform,
        item_id,
        product_id,
        category,
        round(ln(1 + product_events_28d + 0.1 * product_events), 9) as score
    from items
    qualify row_number() over (
        partition by as_of, platform, category order by product_events_28d + 0.1 * product_events desc, item_id
    ) <= 50
),

proposed_to_all as (
    select
        pairs.as_of,
        pairs.person_id,
        pairs.platform,
        platform_lists.item_id,
        platform_lists.product_id,
        platform_lists.generator,
        platform_lists.score
    from pairs
    inner join platform_lists on pairs.as_of = platform_lists.as_of and pairs.platform = platform_lists.platform
    union all
    select
        pairs.as_of,
        pairs.person_id,
        pairs.platform,
        category_lists.item_id,
        category_lists.product_id,
        'category_taste' as generator,
        round(tastes.share * category_lists.score, 9) as score
    from pairs
    inner join tastes on pairs.as_of = tastes.as_of and pairs.person_id = tastes.person_id
    inner join category_lists
        on
            pairs.as_of = category_lists.as_of
            and pairs.platform = category_lists.platform
            and tastes.category = category_lists.category
),

proposed as (
    select proposed_to_all.*
    from proposed_to_all
    anti join consumed
        on
            proposed_to_all.as_of = consumed.as_of
            and proposed_to_all.person_id = consumed.person_id
            and proposed_to_all.product_id = consumed.product_id
    union all by name
    select
        best_by_person.*,
        pairs.platform,
        items.item_id
    from best_by_person
    inner join pairs on best_by_person.as_of = pairs.as_of and best_by_person.person_id = pairs.person_id
    inner join items
        on
            best_by_person.as_of = items.as_of
            and best_by_person.product_id = items.product_id
            and pairs.platform = items.platform
),

final as (
    select
        *,
        row_number() over (
            partition by as_of, person_id, platform, generator order by score desc, item_id
        ) as position
    from proposed
    qualify
        position <= case generator
            when 'neighbours' then 60
            when 'transitions' then 20
            when 'trending' then 40
            when 'popular' then 30
            when 'category_taste' then 20
            when 'new_items' then 10
        end
)

select * from final
