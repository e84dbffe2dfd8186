with
{%- for contract, key in [('accounts', 'account_id'), ('items', 'item_id'), ('events', 'event_id')] %}
    {{ contract }} as (
        {{ all_platforms(contract) }}
    ){{ ',' }}
{%- endfor %}

final as (
    {%- for contract, key in [('accounts', 'account_id'), ('items', 'item_id'), ('events', 'event_id')] %}
        select
            platform,
            '{{ contract }}' as contract,
            {{ key }} as row_key,
            load_date,
            raw_row,
            reject_reason
        from {{ contract }}
        where row_status = 'quarantined'
        {%- if not loop.last %}
            union all
        {%- endif %}
    {%- endfor %}
)

select * from final
