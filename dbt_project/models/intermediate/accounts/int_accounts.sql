with rows_known as (
    {{ all_platforms('accounts') }}
),

aliases as (
    select * from {{ ref('int_account_aliases') }}
),

newest as (
    select *
    from rows_known
    where row_status = 'staged' and known_at < {{ as_of() }}
    qualify row_number() over (
        partition by platform, account_id order by known_at desc, load_date desc, raw_row desc
    ) = 1
),

-- a rename retires the old handle; int_events moves its history to the new one
final as (
    select
        ---- ids
        newest.platform,
        newest.account_id,
        newest.email_token,
        newest.phone_token,
        newest.device_token,
        newest.loyalty_token,
        ---- segments
        newest.age_band,
        newest.gender,
        ---- times
        newest.created_at,
        not coalesce(newest.is_deleted, false) as is_active
    from newest
    left join aliases
        on newest.platform = aliases.platform and newest.account_id = aliases.former_account_id
    where aliases.former_account_id is null
)

select * from final
