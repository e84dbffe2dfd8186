-- What really happened in the horizon after a labelled snapshot, as known when the horizon closed, so that labels never change.
with cuts as (
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
        cuts.as_of,
        interactions.person_id,
        interactions.platform,
        interactions.product_id,
        max(interactions.weight) as weight
    from cuts
    inner join interactions on {{ in_horizon('interactions', 'cuts') }}
    where interactions.is_positive
    group by all
),

-- taking again what one had already is no success of a list that may not contain it
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
    anti join known_before
        on
            happened.as_of = known_before.as_of
            and happened.person_id = known_before.person_id
            and happened.platform = known_before.platform
            and happened.product_id = known_before.product_id
)

select * from final
