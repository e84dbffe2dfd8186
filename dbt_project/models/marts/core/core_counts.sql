{{ config(materialized='view') }}

-- What the core marts have of each platform, for gate `interactions`, which compares it with the fates of staged rows.
with persons as (
    select * from {{ ref('persons') }}
),

person_accounts as (
    select * from {{ ref('person_accounts') }}
),

product_items as (
    select * from {{ ref('product_items') }}
),

interactions as (
    select * from {{ ref('interactions') }}
    where superseded_at is null
),

final as (
    select
        person_accounts.platform,
        'accounts' as contract,
        cast(null as date) as load_date,
        count(*) as mart_rows,
        count(persons.person_id) as rows_of_persons
    from person_accounts
    left join persons on person_accounts.person_id = persons.person_id
    group by all
    union all
    select
        platform,
        'items' as contract,
        cast(null as date) as load_date,
        count(*) as mart_rows,
        cast(null as bigint) as rows_of_persons
    from product_items
    group by all
    union all
    select
        interactions.platform,
        'events' as contract,
        interactions.load_date,
        count(*) as mart_rows,
        count(persons.person_id) as rows_of_persons
    from interactions
    left join persons on interactions.person_id = persons.person_id
    group by all
)

select * from final
