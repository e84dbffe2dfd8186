with source as (
    select * from {{ source('<<platform>>', 'accounts') }}
    where {{ loads_to_stage() }}
),

mapped as (
    select
        ---- ids
        '<<platform>>' as platform,
        cast(account_id as varchar) as account_id,
        cast(null as varchar) as formerly_account_id,
        email_token,
        cast(null as varchar) as phone_token,
        cast(null as varchar) as device_token,
        cast(null as varchar) as loyalty_token,
        ---- segments
        {{ age_band('age_band') }} as age_band,
        {{ gender('gender') }} as gender,
        ---- times
        opened_at as created_at,
        false as is_deleted,
        ---- load
        _known_at as known_at,
        load_date,
        _row as raw_row,
        _unreadable as unreadable
    from source
),

{{ classify_accounts('mapped') }}
