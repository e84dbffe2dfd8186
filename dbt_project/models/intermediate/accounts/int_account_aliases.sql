with recursive rows_known as (
    {{ all_platforms('accounts') }}
),

renames as (
    select
        platform,
        formerly_account_id as former_account_id,
        account_id,
        row_number() over (partition by platform order by known_at, load_date, raw_row) as nth
    from rows_known
    where
        row_status = 'staged'
        and known_at < {{ as_of() }}
        and formerly_account_id is not null
        and formerly_account_id != account_id
),

-- an account may be renamed several times. A chain follows only later renames, so it ends where an account gets an old handle back
chains as (
    select
        platform,
        former_account_id,
        account_id,
        nth
    from renames
    union all
    select
        chains.platform,
        chains.former_account_id,
        renames.account_id,
        renames.nth
    from chains
    inner join renames
        on
            chains.platform = renames.platform
            and chains.account_id = renames.former_account_id
            and chains.nth < renames.nth
),

newest as (
    select *
    from chains
    qualify row_number() over (partition by platform, former_account_id order by nth desc) = 1
),

-- an account that got its old handle back is not an alias of it, because int_accounts leaves aliases out
final as (
    select
        platform,
        former_account_id,
        account_id
    from newest
    where former_account_id != account_id
)

select * from final
