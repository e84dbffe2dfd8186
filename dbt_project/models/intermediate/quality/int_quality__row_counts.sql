with
{%- for contract in ['accounts', 'items', 'events'] %}
    {{ contract }} as (
        {{ all_platforms(contract) }}
    ){{ ',' }}
{%- endfor %}

final as (
    {%- for contract in ['accounts', 'items', 'events'] %}
        select
            platform,
            '{{ contract }}' as contract,
            load_date,
            count(*) as rows_total,
            count(*) filter (where row_status = 'staged') as rows_staged,
            count(*) filter (where row_status = 'duplicate') as rows_duplicate,
            count(*) filter (where row_status = 'quarantined' and reject_reason != 'unreadable row') as rows_quarantined,
            count(*) filter (where row_status = 'quarantined' and reject_reason = 'unreadable row') as rows_unreadable
        from {{ contract }}
        group by all
        {%- if not loop.last %}
            union all
        {%- endif %}
    {%- endfor %}
)

select * from final
