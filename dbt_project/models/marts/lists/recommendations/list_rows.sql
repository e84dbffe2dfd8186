-- All accounts of a person on a platform have one list. A popular list is made for an account by itself.
with tonight as (
    select as_of from {{ ref('snapshots') }}
    where role = 'scoring'
),

person_accounts as (
    select * from {{ ref('person_accounts') }}
    where created_at < (select as_of from tonight)
),

ranked as (
    select * from {{ source('ranking', 'ranked') }}
),

both_strategies as (
    select
        person_accounts.account_id as list_of,
        person_accounts.person_id as owner,
        person_accounts.age_band,
        ranked.*
    from person_accounts
    inner join ranked
        on person_accounts.person_id = ranked.person_id and person_accounts.platform = ranked.platform
    where ranked.strategy = 'personalised'
    union all
    select
        person_accounts.account_id as list_of,
        person_accounts.person_id as owner,
        person_accounts.age_band,
        ranked.*
    from person_accounts
    inner join ranked
        on person_accounts.account_id = ranked.account_id and person_accounts.platform = ranked.platform
    where ranked.strategy = 'popular'
),

final as (
    select
        ---- ids
        tonight.as_of,
        both_strategies.platform,
        both_strategies.list_of as account_id,
        both_strategies.owner as person_id,
        both_strategies.item_id,
        both_strategies.product_id,
        ---- what it is
        both_strategies.category,
        both_strategies.age_band,
        both_strategies.strategy,
        both_strategies.slot,
        both_strategies.model_version,
        ---- measures
        cast(both_strategies.rank as integer) as rank,
        cast(both_strategies.score as double) as score,
        both_strategies.propensity
    from both_strategies
    cross join tonight
)

select * from final
