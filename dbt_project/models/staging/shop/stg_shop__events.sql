with lines as (
    select * from {{ source('shop', 'order_lines') }}
    where {{ loads_to_stage() }}
),

orders as (
    select * from {{ source('shop', 'orders') }}
    where load_date <= {{ as_of() }}
),

-- a line may arrive a night after its order, so orders of earlier loads are read too. Orders of later loads are not: a backfill
-- would give the line another order than its own night gave it
orders_of_lines as (
    select
        lines.load_date,
        lines._row,
        orders.order_no,
        orders.customer_no,
        orders.status,
        orders.ordered_at
    from lines
    inner join orders on lines.order_no = orders.order_no and lines.load_date >= orders.load_date
    qualify row_number() over (
        partition by lines.load_date, lines._row order by orders._known_at desc, orders.load_date desc, orders._row
    ) = 1
),

mapped as (
    select
        ---- ids
        'shop' as platform,
        lines.line_id as event_id,
        orders.customer_no as account_id,
        lines.sku as item_id,
        ---- what happened: every status of a paid order is a purchase, anything else keeps its own name
        case when orders.status in ('paid', 'shipped', 'delivered') then 'purchase' else orders.status end as event_type,
        {{ number('lines.review_score') }} / 100 as value,
        ---- times
        {{ utc_from_local('orders.ordered_at', 'America/New_York') }} as occurred_at,
        ---- load
        lines._known_at as known_at,
        lines.load_date,
        lines._row as raw_row,
        lines._unreadable as unreadable,
        case when orders.order_no is null then 'order not found' end as misfit
    from lines
    left join orders_of_lines as orders on lines.load_date = orders.load_date and lines._row = orders._row
),

{{ classify_events('mapped') }}
