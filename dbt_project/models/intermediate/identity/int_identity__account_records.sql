with accounts as (
    select * from {{ ref('int_accounts') }}
),

final as (
    select
        platform,
        account_id,
        email_token,
        phone_token,
        device_token,
        loyalty_token,
        created_at
    from accounts
    where is_active
)

select * from final
