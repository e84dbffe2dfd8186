-- The items of the platform that most persons of the person's age band wanted this week. Those who state no age have
-- nothing in common, so nothing is proposed to them.
with pairs as (
    select * from {{ ref('candidate_pairs') }}
    where {{ is_proposed() }}
),

offers as (
    select * from {{ ref('offers') }}
    where {{ is_proposed() }}
),

profiles as (
    select * from {{ ref('person_profiles') }}
    where {{ is_proposed() }}
),

segments as (
    select * from {{ ref('segment_popularity') }}
    where persons_7d > 0 and {{ is_proposed() }}
),

-- more than the seed allows, because what a person consumed is removed afterwards
best as (
    select
        offers.as_of,
        offers.platform,
        segments.segment,
        offers.offer_id,
        cast(segments.persons_7d as double) as score
    from offers
    inner join segments using (as_of, product_id)
    qualify row_number() over (
        partition by offers.as_of, offers.platform, segments.segment order by score desc, offers.offer_id
    ) <= 60
),

final as (
    select
        pairs.as_of,
        pairs.pair_id,
        best.offer_id,
        best.score
    from pairs
    inner join profiles using (as_of, person_id)
    inner join best on pairs.as_of = best.as_of and pairs.platform = best.platform and profiles.age_band = best.segment
)

select * from final
