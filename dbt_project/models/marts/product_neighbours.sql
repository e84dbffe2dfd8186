{{ config(
    materialized='incremental',
    incremental_strategy='by_cut',
    post_hook='{{ drop_spent_snapshots() }}'
) }}

-- Co-occurrence in persons' recent histories over all platforms: two products meet when one person took both.
with history as (
    select
        *,
        {{ recency('occurred_at', 'as_of', 60) }} as recency_weight
    from {{ ref('person_history') }}
    where as_of in ({{ snapshots_to_build() }})
),

-- as decimals, whose sum does not depend on the order in which threads add
mass as (
    select
        as_of,
        product_id,
        cast(sum(cast(recency_weight as decimal(18, 15))) as double) as mass
    from history
    group by all
),

-- each pair once, in the order of its ids; as decimals too
pairs as (
    select
        history.as_of,
        history.product_id,
        other.product_id as other_id,
        sum(cast(least(history.recency_weight, other.recency_weight) as decimal(18, 15))) as together
    from history
    inner join history as other
        on
            history.as_of = other.as_of
            and history.person_id = other.person_id
            and history.product_id < other.product_id
    group by all
    having count(*) >= 2
),

-- cosine with shrinkage: pairs seen a few times only are pulled towards zero
alike as (
    select
        pairs.as_of,
        pairs.product_id,
        pairs.other_id,
        round(pairs.together / (sqrt(mass.mass * other_mass.mass) + 5), 9) as similarity
    from pairs
    inner join mass on pairs.as_of = mass.as_of and pairs.product_id = mass.product_id
    inner join mass as other_mass on pairs.as_of = other_mass.as_of and pairs.other_id = other_mass.product_id
),

both_ways as (
    select
        as_of,
        product_id,
        other_id as neighbour_id,
        similarity
    from alike
    union all
    select
        as_of,
        other_id as product_id,
        product_id as neighbour_id,
        similarity
    from alike
),

final as (
    select
        *,
        row_number() over (partition by as_of, product_id order by similarity desc, neighbour_id) as position
    from both_ways
    qualify position <= 40
)

select * from final
