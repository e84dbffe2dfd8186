-- Co-occurrence in persons' recent histories on all platforms: two products meet where one person interacted with both.
-- Within the model products are integers in the order of their ids, because millions of rows are grouped by them.
with person_history as (
    select * from {{ ref('person_history') }}
    where as_of in ({{ snapshots_to_build() }})
),

products as (
    select
        product_id,
        cast(row_number() over (order by product_id) as integer) as product
    from person_history
    group by product_id
),

history as (
    select
        person_history.as_of,
        person_history.person_id,
        products.product,
        {{ recency('person_history.occurred_at', 'person_history.as_of', 60) }} as recency_weight
    from person_history
    inner join products on person_history.product_id = products.product_id
),

mass as (
    select
        as_of,
        product,
        {{ stable_sum('recency_weight') }} as mass
    from history
    group by all
),

-- each pair once, the smaller id first
pairs as (
    select
        history.as_of,
        history.product,
        other.product as other,
        {{ stable_sum('least(history.recency_weight, other.recency_weight)') }} as together
    from history
    inner join history as other
        on
            history.as_of = other.as_of
            and history.person_id = other.person_id
            and history.product < other.product
    group by all
    having count(*) >= 2
),

-- cosine with shrinkage: the similarity of pairs with few persons is pulled towards 0
similarities as (
    select
        pairs.as_of,
        pairs.product,
        pairs.other,
        round(pairs.together / (sqrt(mass.mass * other_mass.mass) + 5), 9) as similarity
    from pairs
    inner join mass on pairs.as_of = mass.as_of and pairs.product = mass.product
    inner join mass as other_mass on pairs.as_of = other_mass.as_of and pairs.other = other_mass.product
),

both_ways as (
    select
        as_of,
        product,
        other as neighbour,
        similarity
    from similarities
    union all
    select
        as_of,
        other as product,
        product as neighbour,
        similarity
    from similarities
),

nearest as (
    select
        *,
        row_number() over (partition by as_of, product order by similarity desc, neighbour) as position
    from both_ways
    qualify position <= 40
),

final as (
    select
        nearest.as_of,
        products.product_id,
        neighbours.product_id as neighbour_id,
        nearest.similarity,
        nearest.position
    from nearest
    inner join products on nearest.product = products.product
    inner join products as neighbours on nearest.neighbour = neighbours.product
)

select * from final
