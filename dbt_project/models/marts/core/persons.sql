with person_accounts as (
    select * from {{ ref('person_accounts') }}
),

-- a segment is that of the oldest account that states one
final as (
    select
        person_id,
        count(*) as accounts,
        count(distinct platform) as platforms,
        min_by(age_band, (created_at, platform, account_id)) filter (where age_band is not null) as age_band,
        min_by(gender, (created_at, platform, account_id)) filter (where gender is not null) as gender,
        min(created_at) as created_at
    from person_accounts
    group by person_id
)

select * from final
