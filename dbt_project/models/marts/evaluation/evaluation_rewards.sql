-- Which items brought a positive interaction after the night of the evaluation snapshot, for every account that could have been
-- shown them. An account counts for the person whose it is now, and an item for its product.
with evaluated as (
    select as_of from {{ ref('snapshots') }}
    where role = 'evaluation'
),

interactions as (
    select * from {{ ref('interactions') }}
    where is_positive
),

person_accounts as (
    select * from {{ ref('person_accounts') }}
),

product_items as (
    select * from {{ ref('product_items') }}
),

happened as (
    select distinct
        interactions.person_id,
        interactions.platform,
        interactions.product_id
    from evaluated
    inner join interactions on {{ in_horizon('interactions', 'evaluated') }}
),

final as (
    select
        happened.platform,
        person_accounts.account_id,
        product_items.item_id
    from happened
    inner join person_accounts
        on happened.platform = person_accounts.platform and happened.person_id = person_accounts.person_id
    inner join product_items
        on happened.platform = product_items.platform and happened.product_id = product_items.product_id
)

select * from final
