with source as (
    select * from {{ source('forum', 'members') }}
    where {{ loads_to_stage() }}
),

mapped as (
    select
        ---- ids: a renamed member keeps posting history under the old handle
        'forum' as platform,
        handle as account_id,
        formerly as formerly_account_id,
        mail_token as email_token,
        tel_token as phone_token,
        cast(null as varchar) as device_token,
        cast(null as varchar) as loyalty_token,
        ---- segments
        {{ age_band('age_group') }} as age_band,
        {{ gender('gender') }} as gender,
        ---- times
        {{ utc_from_offset('joined') }} as created_at,
        case when formerly is not null then {{ utc_from_offset('changed') }} end as renamed_at,
        status = 'deleted' as is_deleted,
        ---- load
        _known_at as known_at,
        load_date,
        _row as raw_row,
        _unreadable as unreadable
    from source
),

{{ classify_accounts('mapped') }}
