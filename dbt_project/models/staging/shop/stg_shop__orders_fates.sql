{{ config(materialized='table') }}

-- Orders are joined into events, so no contract counts them. Gate `reconciliation` reads every model of the name
-- `stg_<platform>__<table>_fates`.
with orders as (
    select * from {{ source('shop', 'orders') }}
    where load_date <= {{ as_of() }}
),

order_lines as (
    select distinct order_no from {{ source('shop', 'order_lines') }}
    where load_date <= {{ as_of() }}
),

-- the newest version is the one that stg_shop__events joins
versions as (
    select
        orders.load_date,
        orders.order_no,
        orders._unreadable,
        order_lines.order_no is not null as has_lines,
        row_number() over (
            partition by orders.order_no order by orders._known_at desc, orders.load_date desc, orders._row
        ) as nth
    from orders
    left join order_lines on orders.order_no = order_lines.order_no
),

classified as (
    select
        load_date,
        case
            when _unreadable is not null then 'unreadable'
            when order_no is null then 'without_key'
            when nth > 1 then 'superseded'
            when not has_lines then 'without_lines'
            else 'joined'
        end as fate
    from versions
),

final as (
    select
        load_date,
        fate,
        count(*) as fate_rows
    from classified
    group by all
)

select * from final
