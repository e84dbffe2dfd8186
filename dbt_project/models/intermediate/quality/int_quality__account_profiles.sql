{{ config(materialized='incremental', incremental_strategy='delete+insert', unique_key=['platform', 'load_date'], tags=['stage']) }}

with rows_known as (
    {{ all_platforms('accounts') }}
),

{{ rows_to_profile('rows_known') }},

staged as (
    select * from dated
    where row_status = 'staged'
),

-- what was known of an account, and of who else has its address, before each of its rows
with_past as (
    select
        platform,
        load_date,
        raw_row,
        row_number() over versions as nth_version,
        first_value(load_date) over versions < load_date as was_known,
        lag(email_token) over versions as email_token_before,
        lag(phone_token) over versions as phone_token_before,
        lag(coalesce(gender, '')) over versions as gender_before,
        lag(coalesce(age_band, '')) over versions as age_band_before,
        lag(coalesce(cast(created_at as varchar), '')) over versions as created_at_before,
        coalesce(lag(is_deleted) over versions, false) as was_deleted,
        email_token is not null and first_value(account_id) over same_email != account_id as is_email_shared
    from staged
    window
        versions as (partition by platform, account_id order by {{ order_known('staged') }}),
        same_email as (partition by platform, email_token order by {{ order_known('staged') }})
),

known_before as (
    select
        lacking.platform,
        lacking.load_date,
        count(distinct staged.account_id) as known
    from lacking
    inner join staged on lacking.platform = staged.platform and lacking.load_date > staged.load_date
    group by all
),

facts as (
    select
        profiled.*,
        with_past.nth_version,
        with_past.email_token_before,
        with_past.phone_token_before,
        with_past.is_email_shared,
        case
            when coalesce(profiled.is_deleted, false) and not with_past.was_deleted and with_past.nth_version > 1 then 'true'
        end as loss,
        case
            when not coalesce(with_past.was_known, false) or profiled.is_deleted then null
            when coalesce(profiled.email_token, '') != coalesce(with_past.email_token_before, '') then 'e-mail'
            when coalesce(profiled.phone_token, '') != coalesce(with_past.phone_token_before, '') then 'phone'
            when coalesce(profiled.gender, '') != with_past.gender_before then 'gender'
            when coalesce(profiled.age_band, '') != with_past.age_band_before then 'age band'
            when coalesce(cast(profiled.created_at as varchar), '') != with_past.created_at_before then 'sign-up'
        end as change
    from profiled
    left join with_past
        on
            profiled.platform = with_past.platform
            and profiled.load_date = with_past.load_date
            and profiled.raw_row = with_past.raw_row
),

final as (
    {{ counts_by_bucket('accounts', [
        ('status', 'row_status', 'true'),
        ('quarantine', "coalesce(reject_reason, '(kept)')", "row_status != 'duplicate'"),
        ('email', "case when email_token is null then '(none)' else 'given' end", none),
        ('phone', "case when phone_token is null then '(none)' else 'given' end", none),
        ('age_band', "coalesce(age_band, '(none)')", none),
        ('gender', "coalesce(gender, '(none)')", none),
        ('deleted', 'coalesce(is_deleted, false)', none),
        ('shape', id_shape('account_id'), none),
        ('tenure', minutes_bucket('created_at', 'known_at'), "row_status = 'staged' and nth_version = 1"),
        ('contacts_changed', 'coalesce(email_token != email_token_before, false) or coalesce(phone_token != phone_token_before, false)', "row_status = 'staged' and nth_version > 1"),
        ('email_shared', 'is_email_shared', "row_status = 'staged' and email_token is not null"),
    ]) }}
    {{ numbers_by_day('accounts', [
        ('rows', 'count(*)', "row_status = 'staged' and not is_first_load", none),
        (
            'new', 'count(*)',
            "row_status = 'staged' and nth_version = 1 and (not is_first_load or cast(created_at as date) + 1 > load_date - " ~ gate_history_days() ~ ')',
            'case when is_first_load then least(cast(created_at as date) + 1, load_date) else day end',
        ),
    ]) }}
    {{ parts_of_known('accounts', 'account_id', [('lost', 'loss'), ('changed', 'change')]) }}
)

select * from final
