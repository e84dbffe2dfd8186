-- Labelled snapshots are on a fixed grid of days, so that every night of a week, and a backfill, uses the same ones.
with grid as (
    select
        floor(
            (datediff('day', date '1970-01-01', {{ as_of() }}) - {{ horizon_days() }})
            / {{ snapshot_every_days() }}
        ) * {{ snapshot_every_days() }} as newest
),

labelled as (
    select
        cast(date '1970-01-01' + cast(grid.newest - steps.step * {{ snapshot_every_days() }} as integer) as date) as as_of,
        case steps.step when 0 then 'evaluation' else 'training' end as role
    from grid
    cross join range(0, {{ training_snapshots() }} + 1) as steps (step)
),

final as (
    select
        {{ as_of() }} as as_of,
        'scoring' as role
    union all
    select * from labelled
)

select * from final
