-- Lists for accounts that nothing is learned about: what their segment takes, then their platform, then everybody, then the newest.
with items as (
    select * from {{ ref('item_popularity') }}
    where as_of = {{ as_of() }} and is_available
    qualify {{ one_of_a_product() }}
),

segments as (
    select * from {{ ref('segment_popularity') }}
    where as_of = {{ as_of() }}
),

person_accounts as (
    select * from {{ ref('person_accounts') }}
    where created_at < {{ as_of() }}
),

segment_names as (
    select distinct coalesce(age_band, 'unknown') as segment from person_accounts
),

final as (
    select
        items.platform,
        segment_names.segment,
        items.item_id,
        items.product_id,
        items.category,
        row_number() over (
            partition by items.platform, segment_names.segment
            order by
                coalesce(segments.persons_28d, 0) * (items.persons > 0)::integer desc,
                items.persons_28d desc,
                items.product_persons desc,
                items.days_on_offer,
                items.item_id
        ) as position
    from items
    cross join segment_names
    left join segments
        on items.product_id = segments.product_id and segment_names.segment = segments.segment
)

select * from final
