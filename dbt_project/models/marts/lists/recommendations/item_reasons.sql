{{ config(materialized='view') }}

-- What the words of a reason are made of, for each item of a personalised list.
with tonight as (
    select as_of from {{ ref('snapshots') }}
    where role = 'scoring'
),

list_generators as (
    select * from {{ ref('list_generators') }}
),

contributions as (
    select * from {{ ref('list_contributions') }}
),

nameable as (
    select * from {{ ref('nameable_interactions') }}
),

interactions as (
    select * from {{ ref('interactions') }}
    where is_positive
),

event_types as (
    select * from {{ ref('event_types') }}
),

-- of what may be named, the interaction that adds most to the item's score
named as (
    select
        contributions.person_id,
        contributions.platform,
        contributions.item_id,
        nameable.verb,
        nameable.title,
        nameable.other_platform
    from contributions
    inner join nameable
        on
            contributions.person_id = nameable.person_id
            and contributions.platform = nameable.platform
            and contributions.product_id = nameable.product_id
    where nameable.title is not null
    qualify
        row_number() over (
            partition by contributions.person_id, contributions.platform, contributions.item_id
            order by
                contributions.contribution desc,
                contributions.product_id,
                nameable.other_platform = contributions.platform desc,
                nameable.occurred_at desc,
                nameable.other_platform
        ) = 1
),

tastes as (
    select distinct
        person_id,
        platform,
        category
    from nameable
    where category != 'unknown'
),

-- how often a person wanted on the list's own platform what is consumed again there, by the verb that says it most often
repeated as (
    select
        list_generators.person_id,
        list_generators.platform,
        list_generators.item_id,
        event_types.verb,
        case count(*) when 1 then 'before' else concat(count(*), ' times') end as times
    from tonight
    inner join interactions on {{ known_by('interactions', 'tonight') }}
    inner join event_types on interactions.event_type = event_types.event_type
    inner join list_generators
        on
            interactions.person_id = list_generators.person_id
            and interactions.platform = list_generators.platform
            and interactions.product_id = list_generators.product_id
    where list_generators.generator = 'repeats'
    group by list_generators.person_id, list_generators.platform, list_generators.item_id, event_types.verb
    qualify
        row_number() over (
            partition by list_generators.person_id, list_generators.platform, list_generators.item_id
            order by count(*) desc, event_types.verb
        ) = 1
),

final as (
    select
        ---- ids
        list_generators.person_id,
        list_generators.platform,
        list_generators.item_id,
        list_generators.generator,
        ---- what fills the placeholders
        coalesce(repeated.verb, named.verb) as verb,
        repeated.times,
        named.title,
        named.other_platform,
        tastes.category as liked_category
    from list_generators
    left join named
        on
            list_generators.person_id = named.person_id
            and list_generators.platform = named.platform
            and list_generators.item_id = named.item_id
    left join repeated
        on
            list_generators.person_id = repeated.person_id
            and list_generators.platform = repeated.platform
            and list_generators.item_id = repeated.item_id
    left join tastes
        on
            list_generators.person_id = tastes.person_id
            and list_generators.platform = tastes.platform
            and list_generators.category = tastes.category
)

select * from final
