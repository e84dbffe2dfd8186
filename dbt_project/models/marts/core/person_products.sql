-- What is no news to a person on each platform they are on: whatever they did with a product, anywhere. No list there
-- recommends it, unless they took it on that very platform and its items are taken again.
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
