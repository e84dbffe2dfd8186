-- Positive interactions in the horizon after a labelled snapshot, as known when the horizon closed, so that labels never change.
with snapshots as (
    select as_of from {{ ref('snapshots') }}
    where
        role != 'scoring'
    {%- if is_incremental() %}
        and as_of not in (select distinct as_of from {{ this }})
        {%- endif %}
),

interactions as (
    select * from {{ ref('interactions') }}
),

happened as (
    select
        snapshots.as_of,
        interactions.person_id,
        interactions.platform,
        interactions.product_id,
        max(interactions.weight) as weight
    from snapshots
    inner join interactions on {{ in_horizon('interactions', 'snapshots') }}
    where interactions.is_positive
    group by all
),

-- a list may not contain what the person knew before, so interacting with it again is no success of the list
known_before as (
    select
        happened.as_of,
        happened.person_id,
        happened.platform,
        happened.product_id
    from happened
    inner join interactions
        on
            happened.person_id = interactions.person_id
            and happened.product_id = interactions.product_id
            and {{ known_by('interactions', 'happened') }}
    group by all
    having not bool_or({{ is_repeatable('interactions', 'happened') }})
),

final as (
    select happened.*
    from happened
    anti join known_before using (as_of, person_id, platform, product_id)
)

select * from final
