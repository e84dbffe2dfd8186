{{ config(materialized='view') }}

-- Who must have a list. Whoever had everything that the platform offers, or may offer, stops nobody else's night.
with tonight as (
    select as_of from {{ ref('snapshots') }}
    where role = 'scoring'
),

offered as (
    select distinct
        platform,
        product_id
    from {{ ref('offered_items') }}
    where is_on_offer and not is_banned
),

offers as (
    select
        platform,
        count(*) as products
    from offered
    group by all
),

person_products as (
    select * from {{ ref('person_products') }}
),

had as (
    select
        person_products.person_id,
        person_products.platform,
        count(*) as products
    from person_products
    inner join offered
        on person_products.platform = offered.platform and person_products.product_id = offered.product_id
    group by all
),

person_accounts as (
    select * from {{ ref('person_accounts') }}
    where created_at < (select as_of from tonight)
),

final as (
    select
        person_accounts.platform,
        person_accounts.account_id,
        coalesce(offers.products, 0) - coalesce(had.products, 0) as products_left
    from person_accounts
    left join offers on person_accounts.platform = offers.platform
    left join had
        on person_accounts.person_id = had.person_id and person_accounts.platform = had.platform
    where offers.products is null or coalesce(had.products, 0) < offers.products
)

select * from final
