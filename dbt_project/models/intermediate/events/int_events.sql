with rows_known as (
    {{ all_platforms('events') }}
),

aliases as (
    select * from {{ ref('int_account_aliases') }}
),

-- of versions that became known at the same moment (in a day's file) only the last one is kept
distinguishable as (
    select *
    from rows_known
    where row_status = 'staged' and known_at < {{ as_of() }}
    qualify row_number() over (
        partition by platform, event_id, known_at order by load_date desc, raw_row desc
    ) = 1
),

-- an edited event keeps all its versions. Each is valid until the next one was known, so that an old snapshot sees the version of
-- its time
versions as (
    select
        *,
        lead(known_at) over (partition by platform, event_id order by known_at) as superseded_at,
        -- where a time of renaming is a day, an event that became known no later was written before it
        least(occurred_at, min(known_at) over (partition by platform, event_id)) as written_at
    from distinguishable
),

-- What comes late cannot displace what was known before: the past of a snapshot never changes. So an event has its place by its
-- first version, under the handle that it came with.
first_versions as (
    select
        platform,
        event_id,
        account_id,
        cast(occurred_at as date) as day,
        occurred_at,
        known_at,
        load_date
    from versions
    where event_type != 'impression' -- the platform did it, not the account
    qualify row_number() over (partition by platform, event_id order by known_at) = 1
),

-- few accounts are so busy, so only their events are sorted
busy as (
    select
        platform,
        account_id,
        day
    from first_versions
    group by all
    having count(*) > {{ max_events_per_day() }}
),

over_the_cap as (
    select
        first_versions.platform,
        first_versions.event_id
    from first_versions
    semi join busy using (platform, account_id, day)
    qualify row_number() over (
        partition by first_versions.platform, first_versions.account_id, first_versions.day
        order by first_versions.known_at, first_versions.load_date, first_versions.occurred_at, first_versions.event_id
    ) > {{ max_events_per_day() }}
),

final as (
    select
        ---- ids
        versions.platform,
        versions.event_id,
        case when aliases.handle is null then versions.account_id else aliases.account_id end as account_id,
        versions.account_id as handle,
        versions.item_id,
        ---- what happened
        versions.event_type,
        versions.value,
        versions.device,
        case when over_the_cap.event_id is not null then 'over the daily cap of an account' end as left_out_because,
        ---- times
        versions.occurred_at,
        versions.known_at,
        versions.superseded_at,
        ---- load
        versions.load_date,
        versions.raw_row
    from versions
    left join aliases
        on
            versions.platform = aliases.platform
            and versions.account_id = aliases.handle
            and (aliases.valid_from is null or versions.written_at >= aliases.valid_from)
            and (aliases.valid_to is null or versions.written_at <= aliases.valid_to)
    left join over_the_cap
        on versions.platform = over_the_cap.platform and versions.event_id = over_the_cap.event_id
)

select * from final
