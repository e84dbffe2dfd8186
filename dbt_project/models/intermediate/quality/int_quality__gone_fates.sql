-- What became of every key that its source lost. A key without a fate is counted nowhere, so that gate `reconciliation` finds it missing.
with gone as (
    select * from {{ ref('int_quality__gone_keys') }}
),

accounts as (
    select * from {{ ref('int_accounts') }}
),

items as (
    select * from {{ ref('int_items') }}
),

aliases as (
    select * from {{ ref('int_account_aliases') }}
    where valid_to is null
),

classified as (
    select
        gone.platform,
        gone.contract,
        gone.load_date,
        case
            when not gone.is_gone then 'came_back'
            when not gone.is_staged then 'no_such_id'
            when gone.contract = 'accounts' and accounts.account_id is null and aliases.handle is not null then 'renamed_away'
            when gone.contract = 'accounts' and not accounts.is_active then 'deleted'
            when gone.contract = 'items' and not items.is_available then 'withdrawn'
        end as fate
    from gone
    left join accounts on gone.platform = accounts.platform and gone.row_key = accounts.account_id
    left join items on gone.platform = items.platform and gone.row_key = items.item_id
    left join aliases on gone.platform = aliases.platform and gone.row_key = aliases.handle
),

final as (
    select
        platform,
        contract,
        load_date,
        fate,
        count(*) as fate_rows
    from classified
    where fate is not null
    group by all
)

select * from final
