with source as (
    select * from {{ source('shop', 'customers') }}
    where {{ loads_to_stage() }}
),

mapped as (
    select
        ---- ids
        'shop' as platform,
        customer_no as account_id,
        cast(null as varchar) as formerly_account_id,
        email_token,
        phone_token,
        cast(null as varchar) as device_token,
        cast(null as varchar) as loyalty_token,
        ---- segments
        {{ age_band('age_group') }} as age_band,
        {{ gender('sex') }} as gender,
        ---- times
        {{ utc_from_local('registered_at', 'America/New_York') }} as created_at,
        false as is_deleted,
        ---- load
        _known_at as known_at,
        load_date,
        _row as raw_row,
        _unreadable as unreadable
    from source
),

{{ classify_accounts('mapped') }}
