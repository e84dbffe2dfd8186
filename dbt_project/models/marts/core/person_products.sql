-- What a person knows, for each platform that they have an account on: every product that they interacted with anywhere. No list there
-- recommends it, unless they consumed it on this very platform and its items are consumed again.
with interactions as (
    select * from {{ ref('interactions') }}
),

platforms as (
    select distinct
        person_id,
        platform
    from {{ ref('person_accounts') }}
),

final as (
    select
        interactions.person_id,
        platforms.platform,
        interactions.product_id
    from interactions
    inner join platforms on interactions.person_id = platforms.person_id
    where interactions.superseded_at is null and interactions.occurred_at < {{ as_of() }}
    group by all
    having not bool_or({{ is_repeatable('interactions', 'platforms') }})
)

select * from final
