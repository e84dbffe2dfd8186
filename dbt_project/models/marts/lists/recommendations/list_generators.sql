-- Why an item was proposed, not how the network weighed it: the generator of whose proposals the smallest share ranks above it.
with tonight as (
    select as_of from {{ ref('snapshots') }}
    where role = 'scoring'
),

list_rows as (
    select * from {{ ref('list_rows') }}
    where strategy = 'personalised'
),

candidate_sources as (
    select * from {{ ref('candidate_sources') }}
    where as_of in (select as_of from tonight)
),

generators as (
    select * from {{ ref('generators') }}
),

proposals as (
    select
        person_id,
        platform,
        item_id,
        generator,
        (position - 1) / count(*) over (partition by person_id, platform, generator) as share_before
    from candidate_sources
),

items as (
    select distinct
        person_id,
        platform,
        item_id,
        product_id,
        category
    from list_rows
),

final as (
    select
        items.person_id,
        items.platform,
        items.item_id,
        items.product_id,
        items.category,
        proposals.generator
    from items
    inner join proposals
        on
            items.person_id = proposals.person_id
            and items.platform = proposals.platform
            and items.item_id = proposals.item_id
    left join generators on proposals.generator = generators.generator
    -- a generator of which there is nothing to say explains only what no other proposed
    qualify
        row_number() over (
            partition by items.person_id, items.platform, items.item_id
            order by
                generators.reason_order is null,
                proposals.share_before,
                generators.reason_order,
                proposals.generator
        ) = 1
)

select * from final
