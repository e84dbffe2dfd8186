with accounts as (
    select * from {{ ref('int_accounts') }}
),

identity as (
    select * from {{ source('identity', 'account_persons') }}
),

final as (
    select
        ---- ids
        identity.person_id,
        accounts.platform,
        accounts.account_id,
        ---- segments
        accounts.age_band,
        accounts.gender,
        ---- times
        accounts.created_at
    from accounts
    inner join identity
        on accounts.platform = identity.platform and accounts.account_id = identity.account_id
    where accounts.is_active
)

select * from final
