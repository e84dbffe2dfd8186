-- Who gets candidates where: persons with two interactions or more, on every platform that they have an account on. At a
-- labelled snapshot only those with a label there get candidates, because nothing can be learned from the others' lists.
with person_platforms as (
    select * from {{ ref('person_platforms') }}
    where as_of in ({{ snapshots_to_build() }})
),

labelled as (
    select distinct
        as_of,
        person_id,
        platform
    from {{ ref('snapshot_labels') }}
),

pairs as (
    select
        person_platforms.as_of,
        person_platforms.person_id,
        person_platforms.platform
    from person_platforms
    left join labelled using (as_of, person_id, platform)
    where
        person_platforms.events_all_platforms >= 2
        and (person_platforms.as_of = {{ as_of() }} or labelled.person_id is not null)
),

final as (
    select
        *,
        ---- integer keys
        {{ snapshot_key('person_id, platform') }} as pair_id,
        {{ snapshot_key('person_id', rank='dense_rank') }} as person_key
    from pairs
)

select * from final
