{{ config(materialized='view') }}

with tonight as (
    select as_of from {{ ref('snapshots') }}
    where role = 'scoring'
),

platforms as (
    select platform from {{ ref('int_accounts') }}
    union
    select platform from {{ ref('int_items') }}
),

person_accounts as (
    select
        platform,
        count(*) as accounts,
        count(distinct person_id) as persons
    from {{ ref('person_accounts') }}
    group by all
),

product_items as (
    select
        platform,
        count(*) as items
    from {{ ref('product_items') }}
    group by all
),

interactions as (
    select
        platform,
        count(*) as interactions
    from {{ ref('interactions') }}
    group by all
),

candidates as (
    select
        platform,
        count(*) as candidates
    from {{ ref('candidates') }}
    where as_of in (select as_of from tonight)
    group by all
),

final as (
    select
        platforms.platform,
        person_accounts.accounts,
        person_accounts.persons,
        product_items.items,
        interactions.interactions,
        candidates.candidates
    from platforms
    left join person_accounts on platforms.platform = person_accounts.platform
    left join product_items on platforms.platform = product_items.platform
    left join interactions on platforms.platform = interactions.platform
    left join candidates on platforms.platform = candidates.platform
)

select * from final
