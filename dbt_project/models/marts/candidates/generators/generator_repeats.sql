-- What the person consumed on the platform, where the platform declares that its items are consumed again. What they consumed often
-- and lately has the largest score.
with pairs as (
    select * from {{ ref('candidate_pairs') }}
    where {{ is_proposed() }}
),

offers as (
    select * from {{ ref('offers') }}
    where {{ is_proposed() }}
),

interactions as (
    select * from {{ ref('interactions') }}
),

scored as (
    select
        pairs.as_of,
        pairs.platform,
        pairs.pair_id,
        interactions.product_id,
        round({{ stable_sum('interactions.weight * ' ~ recency('interactions.occurred_at', 'pairs.as_of', 28)) }}, 9) as score
    from pairs
    inner join interactions
        on
            pairs.person_id = interactions.person_id
            and {{ is_repeatable('interactions', 'pairs') }}
            and {{ known_by('interactions', 'pairs') }}
    group by all
),

final as (
    select
        scored.as_of,
        scored.pair_id,
        offers.offer_id,
        scored.score
    from scored
    inner join offers using (as_of, platform, product_id)
)

select * from final
