with rows_known as (
    {{ all_platforms('events') }}
),

aliases as (
    select * from {{ ref('int_account_aliases') }}
),

-- an edited event keeps all its versions, each valid until the next one was known, so that a past cut sees what was true then
versions as (
    select
        *,
        lead(known_at) over (
            partition by platform, event_id order by known_at, load_date, raw_row
        ) as superseded_at
    from rows_known
    where row_status = 'staged' and known_at < {{ as_of() }}
),

final as (
    select
        ---- ids
        versions.platform,
        versions.event_id,
        coalesce(aliases.account_id, versions.account_id) as account_id,
        versions.item_id,
        ---- what happened
        versions.event_type,
        versions.value,
        ---- times
        versions.occurred_at,
        versions.known_at,
        versions.superseded_at
    from versions
    left join aliases
        on versions.platform = aliases.platform and versions.account_id = aliases.former_account_id
)

select * from final
