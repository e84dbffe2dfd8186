-- When and on which devices persons interact with a product, relative to all products: by hour, weekday (UTC) and device. A person
-- counts once for each value, however many events they have there.
with snapshots as (
    {{ snapshots_to_build() }}
),

interactions as (
    select * from {{ ref('interactions') }}
),

known as (
    select
        snapshots.as_of,
        interactions.product_id,
        interactions.person_id,
        {{ contexts_of('interactions') }}
    from snapshots
    inner join interactions on {{ known_by('interactions', 'snapshots') }}
    where interactions.is_positive
    group by all
),

counted as (
    {{ positives_by_context('known', 'product_id', 'count(distinct person_id)') }}
),

products as (
    select
        as_of,
        product_id,
        context,
        sum(positives) as positives
    from counted
    group by all
),

-- every product has a row for each value, so only the devices with most interactions are used
usual as (
    select
        as_of,
        context,
        value,
        sum(positives) / sum(sum(positives)) over (partition by as_of, context) as share
    from counted
    group by as_of, context, value
    qualify row_number() over (partition by as_of, context order by sum(positives) desc, value) <= 24
),

-- 1 is as often as for all products; twenty usual interactions are added, so that three of them at night mean little
final as (
    select
        products.as_of,
        products.product_id,
        usual.context,
        usual.value,
        round(usual.share, 9) as usual_share,
        round((coalesce(counted.positives, 0) / usual.share + 20) / (products.positives + 20), 9) as lift
    from products
    inner join usual using (as_of, context)
    left join counted using (as_of, product_id, context, value)
)

select * from final
