-- A key that is gone is an account or an item by its id alone. A platform whose models make ids of something else than the key loses
-- none: such keys have no row, and gate `reconciliation` counts them as `no_such_id`.
with gone as (
    select * from {{ source('loads', 'gone_keys') }}
),
{% for contract, id in [('accounts', 'account_id'), ('items', 'item_id')] %}
    {{ contract }} as (
        select
            platform,
            '{{ contract }}' as contract,
            {{ id }} as row_key,
            load_date,
            row_status
        from (
            {{ all_platforms(contract) }}
        )
    ),
{% endfor %}
known as (
    select * from accounts
    union all
    select * from items
),

-- a row that comes back as it was is a duplicate to staging, and brings its key back all the same
last_seen as (
    select
        known.platform,
        known.contract,
        known.row_key,
        max(known.load_date) as load_date,
        bool_or(known.row_status = 'staged') as is_staged
    from known
    semi join gone using (platform, contract, row_key)
    where known.row_status != 'quarantined'
    group by all
),

final as (
    select
        gone.platform,
        gone.contract,
        gone.load_date,
        gone.row_key,
        coalesce(last_seen.is_staged, false) as is_staged,
        coalesce(last_seen.load_date < gone.load_date, true) as is_gone
    from gone
    left join last_seen using (platform, contract, row_key)
)

select * from final
