{{ config(materialized='view') }}

-- What a reason may name in a list: what a person did where the list's platform may name it, by that platform's own title if it has one.
with tonight as (
    select as_of from {{ ref('snapshots') }}
    where role = 'scoring'
),

listed as (
    select distinct person_id from {{ ref('list_generators') }}
),

person_history as (
    select * from {{ ref('person_history') }}
    where as_of in (select as_of from tonight) and person_id in (select person_id from listed)
),

interactions as (
    select * from {{ ref('interactions') }}
    where is_positive
),

event_types as (
    select * from {{ ref('event_types') }}
),

reason_platforms as (
    select * from {{ ref('reason_platforms') }}
),

product_items as (
    select * from {{ ref('product_items') }}
),

titles as (
    select
        platform,
        product_id,
        min_by(title, (length(title), title)) as title
    from product_items
    group by all
),

newest as (
    select
        interactions.person_id,
        interactions.product_id,
        interactions.platform as other_platform,
        max_by(interactions.category, (interactions.occurred_at, interactions.event_id)) as category,
        max_by(event_types.verb, (interactions.occurred_at, interactions.event_id)) as verb,
        max(interactions.occurred_at) as occurred_at
    from tonight
    inner join interactions on {{ known_by('interactions', 'tonight') }}
    inner join event_types on interactions.event_type = event_types.event_type
    semi join person_history
        on interactions.person_id = person_history.person_id and interactions.product_id = person_history.product_id
    group by all
),

final as (
    select
        ---- ids
        reason_platforms.platform,
        newest.person_id,
        newest.product_id,
        newest.other_platform,
        ---- words
        newest.category,
        newest.verb,
        coalesce(here.title, there.title) as title,
        ---- times
        newest.occurred_at
    from newest
    inner join reason_platforms on newest.other_platform = reason_platforms.other_platform
    left join titles as here
        on reason_platforms.platform = here.platform and newest.product_id = here.product_id
    left join titles as there
        on newest.other_platform = there.platform and newest.product_id = there.product_id
)

select * from final
