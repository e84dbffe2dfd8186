-- A source that was excluded for a platform has no part in its lists, and so is no reason for them.
with declared as (
    select
        pairs.platform,
        pairs.other_platform
    from (values {{ platforms_that_may_be_named() }}) as pairs (platform, other_platform)
),

excluded as (
    select * from {{ source('ranking', 'excluded_sources') }}
),

final as (
    select
        declared.platform,
        declared.other_platform
    from declared
    anti join excluded
        on declared.platform = excluded.target and declared.other_platform = excluded.source
)

select * from final
