-- Popular items of the three categories with the largest shares in the person's taste.
with pairs as (
    select * from {{ ref('candidate_pairs') }}
    where {{ is_proposed() }}
),

offers as (
    select * from {{ ref('offers') }}
    where {{ is_proposed() }}
),

tastes as (
    select * from {{ ref('person_categories') }}
    where position <= 3 and {{ is_proposed() }}
),

-- more than the seed allows, because what a person consumed is removed afterwards
best as (
    select
        as_of,
        platform,
        category,
        offer_id,
        round(ln(1 + product_persons_28d + 0.1 * product_persons), 9) as score
    from offers
    qualify row_number() over (
        partition by as_of, platform, category order by product_persons_28d + 0.1 * product_persons desc, offer_id
    ) <= 50
),

final as (
    select
        pairs.as_of,
        pairs.pair_id,
        best.offer_id,
        round(tastes.share * best.score, 9) as score
    from pairs
    inner join tastes using (as_of, person_id)
    inner join best on pairs.as_of = best.as_of and pairs.platform = best.platform and tastes.category = best.category
)

select * from final
