{{ config(
    materialized='incremental',
    incremental_strategy='by_as_of',
    post_hook='{{ drop_spent_snapshots(keep_grid=false) }}'
) }}

-- What each generator proposes to whom. A new generator is one more CTE and one more branch of the union.
-- In between, persons, pairs, products and offers are numbers in the order of their ids: what is joined and put in order by
-- the million costs a third of what it costs by name.
with pairs as (
    select
        *,
        cast(row_number() over (order by as_of, person_id, platform) as integer) as pair,
        cast(dense_rank() over (order by as_of, person_id) as integer) as person
    from {{ ref('candidate_pairs') }}
    where as_of in ({{ snapshots_to_build() }})
),

persons as (
    select distinct
        as_of,
        person_id,
        person
    from pairs
),

items as (
    select * from {{ ref('item_popularity') }}
    where as_of in ({{ snapshots_to_build() }}) and is_available
    qualify {{ one_of_a_product() }}
),

neighbours as (
    select * from {{ ref('product_neighbours') }}
    where as_of in ({{ snapshots_to_build() }})
),

transitions as (
    select * from {{ ref('product_transitions') }}
    where as_of in ({{ snapshots_to_build() }})
),

proposals as (
    select * from {{ ref('retrieved_products') }}
    where as_of in ({{ snapshots_to_build() }})
),

product_ids as (
    select product_id from items
    union
    select neighbour_id as product_id from neighbours
    union
    select next_product_id as product_id from transitions
),

products as (
    select
        product_id,
        cast(row_number() over (order by product_id) as integer) as product
    from product_ids
),

offers as (
    select
        items.*,
        products.product,
        cast(row_number() over (order by items.as_of, items.platform, items.item_id) as integer) as offer
    from items
    inner join products on items.product_id = products.product_id
),

history as (
    select
        persons.person,
        person_history.as_of,
        person_history.product_id,
        person_history.weight,
        person_history.position
    from {{ ref('person_history') }} as person_history
    inner join persons on person_history.as_of = persons.as_of and person_history.person_id = persons.person_id
),

tastes as (
    select
        persons.person,
        person_categories.category,
        person_categories.share
    from {{ ref('person_categories') }} as person_categories
    inner join persons on person_categories.as_of = persons.as_of and person_categories.person_id = persons.person_id
    where person_categories.position <= 3
),

profiles as (
    select * from {{ ref('person_profiles') }}
    where as_of in ({{ snapshots_to_build() }})
),

segments as (
    select * from {{ ref('segment_popularity') }}
    where as_of in ({{ snapshots_to_build() }}) and events_7d > 0
),

interactions as (
    select * from {{ ref('interactions') }}
),

-- nobody is offered again what they took anywhere, but for what `repeats` proposes
consumed as (
    select distinct
        persons.person,
        products.product
    from persons
    inner join interactions
        on persons.person_id = interactions.person_id and {{ known_by('interactions', 'persons') }}
    inner join products on interactions.product_id = products.product_id
),

---- generators by person: what the newest of the history leads to, summed as decimals, whose sum does not depend on the order
---- in which threads add
by_neighbours as (
    select
        history.person,
        products.product,
        round(cast(sum(cast(
            neighbours.similarity * (0.2 + history.weight) * pow(0.95, history.position - 1) as decimal(18, 15)
        )) as double), 9) as score
    from history
    inner join neighbours on history.as_of = neighbours.as_of and history.product_id = neighbours.product_id
    inner join products on neighbours.neighbour_id = products.product_id
    where history.position <= 20
    group by all
),

by_transitions as (
    select
        history.person,
        products.product,
        round(cast(sum(cast(transitions.probability / history.position as decimal(18, 15))) as double), 9) as score
    from history
    inner join transitions on history.as_of = transitions.as_of and history.product_id = transitions.product_id
    inner join products on transitions.next_product_id = products.product_id
    where history.position <= 5
    group by all
),

-- cut early: a platform lacks some products, so more are kept than its list will hold
best_by_person as (
    select
        'neighbours' as generator,
        by_neighbours.*
    from by_neighbours
    anti join consumed on by_neighbours.person = consumed.person and by_neighbours.product = consumed.product
    qualify
        row_number() over (
            partition by by_neighbours.person order by by_neighbours.score desc, by_neighbours.product
        ) <= 100
    union all
    select
        'transitions' as generator,
        by_transitions.*
    from by_transitions
    anti join consumed on by_transitions.person = consumed.person and by_transitions.product = consumed.product
    qualify row_number() over (
        partition by by_transitions.person order by by_transitions.score desc, by_transitions.product
    ) <= 40
),

---- generator by person and platform: what they took there, where that is taken again; often and lately counts most
taken_again as (
    select
        pairs.pair,
        pairs.as_of,
        pairs.platform,
        interactions.product_id,
        round(cast(sum(cast(
            interactions.weight * {{ recency('interactions.occurred_at', 'pairs.as_of', 28) }} as decimal(18, 15)
        )) as double), 9) as score
    from pairs
    inner join interactions
        on
            pairs.person_id = interactions.person_id
            and {{ is_repeatable('interactions', 'pairs') }}
            and {{ known_by('interactions', 'pairs') }}
    group by all
),

repeats as (
    select
        taken_again.pair,
        offers.offer,
        taken_again.score
    from taken_again
    inner join offers
        on
            taken_again.as_of = offers.as_of
            and taken_again.platform = offers.platform
            and taken_again.product_id = offers.product_id
),

---- generators by platform: the best of each list, for everybody there
platform_lists as (
    select
        as_of,
        platform,
        offer,
        product,
        'trending' as generator,
        cast(events_7d + events_1d as double) as score
    from offers
    where events_7d > 0
    qualify row_number() over (partition by as_of, platform order by events_7d + events_1d desc, item_id) <= 100
    union all
    select
        as_of,
        platform,
        offer,
        product,
        'popular' as generator,
        cast(product_events_28d as double) as score
    from offers
    where product_events_28d > 0
    qualify row_number() over (partition by as_of, platform order by product_events_28d desc, item_id) <= 100
    union all
    select
        as_of,
        platform,
        offer,
        product,
        'new_items' as generator,
        round((1 + product_events_28d) * pow(0.5, days_on_offer / 14), 9) as score
    from offers
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
        offer,
        product,
        category,
        round(ln(1 + product_events_28d + 0.1 * product_events), 9) as score
    from offers
    qualify row_number() over (
        partition by as_of, platform, category order by product_events_28d + 0.1 * product_events desc, item_id
    ) <= 50
),

segment_lists as (
    select
        offers.as_of,
        offers.platform,
        segments.segment,
        offers.offer,
        offers.product,
        cast(segments.events_7d as double) as score
    from offers
    inner join segments on offers.as_of = segments.as_of and offers.product_id = segments.product_id
    qualify row_number() over (
        partition by offers.as_of, offers.platform, segments.segment order by segments.events_7d desc, offers.item_id
    ) <= 60
),

proposed_to_all as (
    select
        pairs.pair,
        pairs.person,
        platform_lists.offer,
        platform_lists.product,
        platform_lists.generator,
        platform_lists.score
    from pairs
    inner join platform_lists on pairs.as_of = platform_lists.as_of and pairs.platform = platform_lists.platform
    union all
    select
        pairs.pair,
        pairs.person,
        category_lists.offer,
        category_lists.product,
        'category_taste' as generator,
        round(tastes.share * category_lists.score, 9) as score
    from pairs
    inner join tastes on pairs.person = tastes.person
    inner join category_lists
        on
            pairs.as_of = category_lists.as_of
            and pairs.platform = category_lists.platform
            and tastes.category = category_lists.category
    union all
    select
        pairs.pair,
        pairs.person,
        segment_lists.offer,
        segment_lists.product,
        'segment_trending' as generator,
        segment_lists.score
    from pairs
    -- of those who state no age nothing is in common
    inner join profiles on pairs.as_of = profiles.as_of and pairs.person_id = profiles.person_id
    inner join segment_lists
        on
            pairs.as_of = segment_lists.as_of
            and pairs.platform = segment_lists.platform
            and profiles.age_band = segment_lists.segment
),

proposed as (
    select
        proposed_to_all.pair,
        proposed_to_all.offer,
        proposed_to_all.generator,
        proposed_to_all.score
    from proposed_to_all
    anti join consumed
        on proposed_to_all.person = consumed.person and proposed_to_all.product = consumed.product
    union all
    select
        pairs.pair,
        offers.offer,
        best_by_person.generator,
        best_by_person.score
    from best_by_person
    inner join pairs on best_by_person.person = pairs.person
    inner join offers
        on
            best_by_person.product = offers.product
            and pairs.as_of = offers.as_of
            and pairs.platform = offers.platform
    union all
    select
        pairs.pair,
        offers.offer,
        proposals.generator,
        proposals.score
    from proposals
    inner join pairs
        on
            proposals.as_of = pairs.as_of
            and proposals.person_id = pairs.person_id
            and proposals.platform = pairs.platform
    inner join offers
        on
            proposals.as_of = offers.as_of
            and proposals.platform = offers.platform
            and proposals.product_id = offers.product_id
    anti join consumed on pairs.person = consumed.person and offers.product = consumed.product
    union all
    select
        pair,
        offer,
        'repeats' as generator,
        score
    from repeats
),

best as (
    select
        *,
        row_number() over (partition by pair, generator order by score desc, offer) as position
    from proposed
    qualify
        position <= case generator
            when 'ease' then 40
            when 'graph' then 100
            when 'towers' then 40
            when 'neighbours' then 60
            when 'transitions' then 20
            when 'trending' then 40
            when 'segment_trending' then 20
            when 'popular' then 30
            when 'category_taste' then 20
            when 'new_items' then 10
            when 'repeats' then 40
        end
),

final as (
    select
        pairs.as_of,
        pairs.person_id,
        pairs.platform,
        offers.item_id,
        offers.product_id,
        best.generator,
        best.score,
        best.position
    from best
    inner join pairs on best.pair = pairs.pair
    inner join offers on best.offer = offers.offer
)

select * from final
