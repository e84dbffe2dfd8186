with history as (
    select * from {{ ref('person_history') }}
    where as_of in ({{ snapshots_to_build() }})
),

-- thirty digits, because all affinities of a person without interactions for years are close to 0
weighted as (
    select
        as_of,
        person_id,
        category,
        sum({{ summable('(0.1 + weight) * ' ~ recency('occurred_at', 'as_of', 30), 30, precision=38) }}) as affinity
    from history
    group by all
),

final as (
    select
        as_of,
        person_id,
        category,
        round(
            cast(affinity as double) / cast(sum(affinity) over (partition by as_of, person_id) as double), 9
        ) as share,
        row_number() over (partition by as_of, person_id order by round(affinity, 9) desc, category) as position
    from weighted
    where affinity > 0
)

select * from final
