with rows_known as (
    {{ all_platforms('accounts') }}
),

-- who holds a handle now that was once given up; null where nobody does
present as (
    select * from {{ ref('int_account_aliases') }}
    where valid_to is null
),

-- what a table of present states had and lost
gone as (
    select distinct
        platform,
        row_key
    from {{ ref('int_quality__gone_keys') }}
    where contract = 'accounts' and is_gone
),

newest as (
    select *
    from rows_known
    where row_status = 'staged' and known_at < {{ as_of() }}
    qualify row_number() over (
        partition by platform, account_id order by known_at desc, load_date desc, raw_row desc
    ) = 1
),

-- a rename retires the old handle, until somebody takes it again; int_events moves its history to the new one
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
        not coalesce(newest.is_deleted, false) and gone.row_key is null as is_active,
        ---- load
        newest.load_date,
        newest.raw_row
    from newest
    left join present
        on newest.platform = present.platform and newest.account_id = present.handle
    left join gone
        on newest.platform = gone.platform and newest.account_id = gone.row_key
    where present.handle is null or present.account_id = newest.account_id
)

select * from final
