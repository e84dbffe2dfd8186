"""The lists of the night beside what identity, catalogue, candidates and score tasks say about each of their rows.

Nothing is taken from the lists but what is compared: the person is the one whom the identity gives for the account, and the
product the one that the catalogue gives for the item.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import duckdb
import pyarrow as pa

from dags.steps.merge.kinds import PERSON
from dags.steps.night import Night
from infra.warehouse import connect

# the accounts of tonight, not from `person_accounts`, of which the lists are made
ACCOUNTS = """
create temporary table accounts as
select identity.platform, identity.id as account_id, identity.cluster_id as person_id, coalesce(known.age_band, 'unknown') as segment
from identity
inner join intermediate.int_accounts as known on identity.platform = known.platform and identity.id = known.account_id
where known.is_active and known.created_at < $as_of
"""

# what the score tasks ranked, for every account that must be shown it
SCORED = """
create temporary table scored as
select accounts.account_id, ranked.* exclude (person_id, account_id, product_id, category)
from ranked
inner join accounts on ranked.platform = accounts.platform and ranked.person_id = accounts.person_id
where ranked.strategy = 'personalised'
union all by name
select ranked.* exclude (person_id, product_id, category)
from ranked
inner join accounts on ranked.platform = accounts.platform and ranked.account_id = accounts.account_id
where ranked.strategy = 'popular'
"""

SAME_ROW = """
    lists.platform = scored.platform
    and lists.account_id = scored.account_id
    and lists.item_id = scored.item_id
    and lists.rank = scored.rank
    and lists.strategy = scored.strategy
    and lists.slot = scored.slot
    and lists.propensity = scored.propensity
    and lists.score is not distinct from scored.score
    and lists.model_version is not distinct from scored.model_version
"""

LISTED = f"""
with
candidates as (
    select person_id, platform, item_id, if(repeat_score = 0, generators, null) as generators
    from marts.candidates
    where as_of = $as_of
),
usual as (
    select person_id, platform, avg(generators) as usual_generators
    from candidates
    group by all
),
pins as (
    select distinct platform, item_id
    from marts.active_rules
    where rule = 'pin'
)
select
    lists.*,
    accounts.account_id is not null as is_account,
    coalesce(lists.person_id = accounts.person_id, false) as is_own,
    items.item_id is not null as in_catalogue,
    coalesce(lists.product_id = items.product_id, false) as is_product,
    coalesce(items.is_available, false) as is_available,
    coalesce(items.is_banned, false) as is_banned,
    had.product_id is not null as is_consumed,
    case
        when lists.slot = 'pinned' then pins.item_id is not null
        when lists.strategy = 'personalised' then candidates.item_id is not null
        else popular.item_id is not null
    end as is_proposed,
    exists (select 1 from scored where {SAME_ROW}) as is_scored,
    count(*) over (partition by lists.recommendation_id) = 1 as is_id_unique,
    candidates.generators,
    usual.usual_generators
from lists
left join accounts on lists.platform = accounts.platform and lists.account_id = accounts.account_id
left join marts.offered_items as items on lists.platform = items.platform and lists.item_id = items.item_id
left join marts.person_products as had
    on accounts.person_id = had.person_id and lists.platform = had.platform and items.product_id = had.product_id
left join candidates
    on accounts.person_id = candidates.person_id and lists.platform = candidates.platform and lists.item_id = candidates.item_id
left join usual on accounts.person_id = usual.person_id and lists.platform = usual.platform
left join marts.popular_lists as popular
    on lists.platform = popular.platform and accounts.segment = popular.segment and lists.item_id = popular.item_id
left join pins on lists.platform = pins.platform and lists.item_id = pins.item_id
order by lists.platform, lists.account_id, lists.rank, lists.item_id
"""


@contextmanager
def compared(night: Night, lists: pa.Table) -> Iterator[duckdb.DuckDBPyConnection]:
    """A connection to the warehouse that also has the ``lists``, the `accounts` of tonight and the rows that were `scored` for them."""
    shards = [
        night.read_table(night.key(f"ranked/shard={shard}.parquet")) for shard in range(night.settings.scoring_shards)
    ]
    with connect(night.settings) as warehouse:
        warehouse.register("lists", lists)
        warehouse.register("ranked", pa.concat_tables(shards))
        warehouse.register("identity", PERSON.store(night.lake).ids(night.as_of))
        warehouse.execute(ACCOUNTS, {"as_of": night.as_of})
        warehouse.execute(SCORED)
        yield warehouse


def listed_rows(night: Night, warehouse: duckdb.DuckDBPyConnection) -> pa.Table:
    """The rows of the lists in order of platform, account and rank, with what `expectations.recommendations.frame` needs."""
    rows: pa.Table = warehouse.execute(LISTED, {"as_of": night.as_of}).to_arrow_table()
    return rows


def active_accounts(warehouse: duckdb.DuckDBPyConnection) -> pa.Table:
    """platform and account_id of every account that the platforms have, that is not deleted, and that is a person's."""
    accounts: pa.Table = warehouse.execute("select platform, account_id from accounts order by all").to_arrow_table()
    return accounts


def rows_lost(warehouse: duckdb.DuckDBPyConnection) -> dict[str, int]:
    """How many rows were scored for accounts of each platform and are in no list. A platform without any is not there."""
    sql = f"select platform, count(*) from scored anti join lists on {SAME_ROW} group by all order by all"
    return dict(warehouse.execute(sql).fetchall())
