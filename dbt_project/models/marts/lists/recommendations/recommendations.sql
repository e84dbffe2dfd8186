{%- set values = {
    'verb': 'item_reasons.verb',
    'times': 'item_reasons.times',
    'platform': 'list_rows.platform',
    'other_platform': 'item_reasons.other_platform',
    'age_group': "if(segments.persons_7d > 0, 'people your age', null)",
    'category': 'item_reasons.liked_category',
    'title': 'item_reasons.title',
} -%}

-- The lists of tonight with their reasons. In a popular list the reason says by what it is ordered.
with tonight as (
    select as_of from {{ ref('snapshots') }}
    where role = 'scoring'
),

list_rows as (
    select * from {{ ref('list_rows') }}
),

item_reasons as (
    select * from {{ ref('item_reasons') }}
),

generators as (
    select * from {{ ref('generators') }}
),

items as (
    select * from {{ ref('item_popularity') }}
    where as_of in (select as_of from tonight)
),

segments as (
    select * from {{ ref('segment_popularity') }}
    where as_of in (select as_of from tonight) and persons_28d > 0
),

-- an age is told only to the account that states it
explained as (
    select
        list_rows.*,
        item_reasons.times,
        case
            when segments.product_id is not null and items.persons > 0 then 'popular with people your age'
            when items.persons_28d > 0 then concat('popular on ', list_rows.platform)
            when items.product_persons > 0 then 'popular across platforms'
            when items.days_on_offer <= 60 then concat('new on ', list_rows.platform)
            else concat('available on ', list_rows.platform)
        end as why_popular,
        coalesce(
            {{ worded('generators.reason', values) }},
            generators.reason_otherwise,
            'because of what you like'
        ) as why_proposed
    from list_rows
    left join item_reasons
        on
            list_rows.person_id = item_reasons.person_id
            and list_rows.platform = item_reasons.platform
            and list_rows.item_id = item_reasons.item_id
    left join generators on item_reasons.generator = generators.generator
    left join items on list_rows.platform = items.platform and list_rows.item_id = items.item_id
    left join segments on list_rows.age_band = segments.segment and list_rows.product_id = segments.product_id
),

reasoned as (
    select
        *,
        case
            when slot = 'pinned' then 'chosen by the editors'
            when slot = 'explored' and times is null then 'something different for you'
            when strategy = 'popular' then why_popular
            else why_proposed
        end as reason
    from explained
),

final as (
    select
        ---- ids
        platform,
        account_id,
        person_id,
        item_id,
        product_id,
        category,
        ---- the row
        rank,
        score,
        strategy,
        slot,
        propensity,
        reason,
        ---- what made it
        as_of,
        model_version,
        md5(concat_ws('|', platform, account_id, item_id, cast(as_of as varchar), strategy)) as recommendation_id
    from reasoned
)

select * from final
