-- Who held each handle that was ever given up, and from when to when. Handles are used again, so an alias holds for a time only.
with recursive rows_known as (
    {{ all_platforms('accounts') }}
),

-- a row that repeats its content is no new version of an account. It may still be a rename: a, b, a and b again
readable as (
    select
        *,
        formerly_account_id is not null and formerly_account_id != account_id as states_a_rename
    from rows_known
    where row_status != 'quarantined' and known_at < {{ as_of() }}
),

given_up_handles as (
    select distinct
        platform,
        formerly_account_id as handle
    from readable
    where states_a_rename
),

-- few accounts are ever renamed, and only the rows about them are put in order
known as (
    select
        readable.*,
        given_up_handles.handle is not null as is_given_up,
        row_number() over (
            partition by readable.platform order by readable.known_at, readable.load_date, readable.raw_row
        ) as nth
    from readable
    left join given_up_handles
        on readable.platform = given_up_handles.platform and readable.account_id = given_up_handles.handle
    where readable.states_a_rename or given_up_handles.handle is not null
),

mentions as (
    select
        platform,
        account_id as handle,
        formerly_account_id as other,
        true as is_taken,
        -- a time after the row itself became known is none; a day's difference is a zone's, as in classify_accounts
        case when renamed_at <= known_at + interval 1 day then renamed_at else known_at end as happened_at,
        known_at,
        nth
    from known
    where states_a_rename
    union all
    select
        platform,
        formerly_account_id as handle,
        account_id as other,
        false as is_taken,
        null as happened_at,
        known_at,
        nth
    from known
    where states_a_rename
),

-- a table of present states names the former handle in every later version. Only the first of them is the rename
renames as (
    select
        platform,
        other as former_account_id,
        handle as account_id,
        happened_at,
        known_at,
        nth
    from mentions
    qualify
        is_taken
        and not coalesce(
            lag(is_taken) over (partition by platform, handle order by nth)
            and lag(other) over (partition by platform, handle order by nth) = other, false
        )
),

-- an account may be renamed several times: the next rename of the one who took a handle is the first one away from it
followed as (
    select
        renames.platform,
        renames.account_id,
        renames.nth,
        min(later.nth) as next_nth
    from renames
    left join renames as later
        on
            renames.platform = later.platform
            and renames.account_id = later.former_account_id
            and renames.nth < later.nth
    group by all
),

chains as (
    select
        platform,
        nth as first_nth,
        account_id,
        next_nth
    from followed
    union all
    select
        chains.platform,
        chains.first_nth,
        followed.account_id,
        followed.next_nth
    from chains
    inner join followed on chains.platform = followed.platform and chains.next_nth = followed.nth
),

present_ids as (
    select
        platform,
        first_nth,
        account_id
    from chains
    where next_nth is null
),

-- every time that a handle was given up or taken. Whoever has an active account of a handle that was given up has taken it
timeline as (
    select
        platform,
        former_account_id as handle,
        true as is_left,
        happened_at,
        known_at,
        nth
    from renames
    union all
    select
        platform,
        account_id as handle,
        false as is_left,
        happened_at,
        known_at,
        nth
    from renames
    union all
    select
        platform,
        account_id as handle,
        false as is_left,
        created_at as happened_at,
        known_at,
        nth
    from known
    where
        row_status = 'staged'
        and not states_a_rename
        and is_given_up
        and not coalesce(is_deleted, false)
),

-- a hold ends when the handle is given up; `hold` counts those of the same handle before it
numbered as (
    select
        *,
        coalesce(
            sum(cast(is_left as integer)) over (
                partition by platform, handle order by nth rows between unbounded preceding and 1 preceding
            ), 0
        ) as hold
    from timeline
),

taken as (
    select numbered.*
    from numbered
    semi join given_up_handles using (platform, handle) -- the others' periods would have no end
    where not numbered.is_left
    qualify row_number() over (partition by platform, handle, hold order by nth) = 1
),

given_up as (
    select * from numbered
    where is_left
),

holds as (
    select
        coalesce(given_up.platform, taken.platform) as platform,
        coalesce(given_up.handle, taken.handle) as handle,
        coalesce(given_up.hold, taken.hold) as hold,
        taken.happened_at as taken_at,
        taken.known_at as taken_known_at,
        given_up.happened_at as left_at,
        coalesce(present_ids.account_id, taken.handle) as account_id,
        max(given_up.happened_at) over (
            partition by coalesce(given_up.platform, taken.platform), coalesce(given_up.handle, taken.handle)
            order by coalesce(given_up.hold, taken.hold) rows between unbounded preceding and 1 preceding
        ) as left_before
    from given_up
    full outer join taken
        on given_up.platform = taken.platform and given_up.handle = taken.handle and given_up.hold = taken.hold
    left join present_ids on given_up.platform = present_ids.platform and given_up.nth = present_ids.first_nth
),

-- the first hold has no beginning, because an event may be older than what is known of its account
periods as (
    select
        platform,
        handle,
        case
            when hold > 0
                then greatest(
                    left_before + interval 1 microsecond,
                    case when taken_at > left_before and taken_at <= taken_known_at then taken_at else taken_known_at end
                )
        end as valid_from,
        left_at as valid_to,
        account_id
    from holds
),

not_empty as (
    select
        *,
        lead(valid_from) over (partition by platform, handle order by valid_from nulls first) as next_from,
        lead(account_id) over (partition by platform, handle order by valid_from nulls first) as next_account_id
    from periods
    where valid_from is null or valid_to is null or valid_from <= valid_to
),

final as (
    select
        platform,
        handle,
        valid_from,
        valid_to,
        account_id
    from not_empty
    union all
    -- between two holds a handle is nobody's, unless the same account has it before and after
    select
        platform,
        handle,
        valid_to + interval 1 microsecond as valid_from,
        next_from - interval 1 microsecond as valid_to,
        case when next_account_id = account_id then account_id end as account_id
    from not_empty
    where valid_to is not null and (next_from is null or next_from > valid_to + interval 1 microsecond)
)

select * from final
