with recursive rows_known as (
    {{ all_platforms('accounts') }}
),

renames as (
    select distinct
        platform,
        formerly_account_id as former_account_id,
        account_id
    from rows_known
    where
        row_status = 'staged'
        and known_at < {{ as_of() }}
        and formerly_account_id is not null
        and formerly_account_id != account_id
),

-- a member may be renamed again and again; twenty steps also end a circle of names
chains as (
    select
        platform,
        former_account_id,
        account_id,
        1 as steps
    from renames
    union all
    select
        chains.platform,
        chains.former_account_id,
        renames.account_id,
        chains.steps + 1 as steps
    from chains
    inner join renames
        on chains.platform = renames.platform and chains.account_id = renames.former_account_id
    where chains.steps < 20 and renames.account_id != chains.former_account_id
),

final as (
    select
        platform,
        former_account_id,
        account_id
    from chains
    qualify row_number() over (partition by platform, former_account_id order by steps desc, account_id) = 1
)

select * from final
