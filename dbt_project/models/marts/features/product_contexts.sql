-- When and on what a product is taken, beside all takes: by hour and weekday (UTC) and by device.
with cuts as (
    {{ snapshots_to_build() }}
),

interactions as (
    select * from {{ ref('interactions') }}
),

known as (
    select
        cuts.as_of,
        interactions.product_id,
        {{ contexts_of('interactions') }},
        count(*) as takes
    from cuts
    inner join interactions on {{ known_by('interactions', 'cuts') }}
    where interactions.is_positive
    group by all
),

counted as (
    {{ positives_by_context('known', 'product_id') }}
),

products as (
    select
        as_of,
        product_id,
        context,
        sum(takes) as takes
    from counted
    group by all
),

-- so few that every product can have a row for each: of devices those most used
usual as (
    select
        as_of,
        context,
        value,
        sum(takes) / sum(sum(takes)) over (partition by as_of, context) as share
    from counted
    group by as_of, context, value
    qualify row_number() over (partition by as_of, context order by sum(takes) desc, value) <= 24
),

-- 1 is as often as all things; twenty usual takes are added, so that three at night make nothing of the night
final as (
    select
        products.as_of,
        products.product_id,
        usual.context,
        usual.value,
        round(usual.share, 9) as usual_share,
        round((coalesce(counted.takes, 0) / usual.share + 20) / (products.takes + 20), 9) as lift
    from products
    inner join usual on products.as_of = usual.as_of and products.context = usual.context
    left join counted
        on
            products.as_of = counted.as_of
            and products.product_id = counted.product_id
            and usual.context = counted.context
            and usual.value = counted.value
)

select * from final
