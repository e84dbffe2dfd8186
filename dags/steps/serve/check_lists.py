"""Gate before publication: every account is in the lists or has a reason, and every ranked row is in a list."""

from collections import defaultdict
from collections.abc import Iterator
from typing import Any

import pyarrow as pa

from dags.steps.conservation import Line, prove
from dags.steps.merge.kinds import PERSON
from dags.steps.night import Night
from dags.steps.serve.frozen import is_frozen
from infra.identity_store import identity_key
from infra.warehouse import connect

TABLE = "lists"
REMEDY = (
    "look for an inner join or a filter in `list_rows` and `recommendations`, or an account without candidates and without a "
    "popular list; run assemble_lists again"
)
ACCOUNTS = """
select
    accounts.platform,
    case
        when lists.account_id is not null then 'listed'
        when accounts.created_at >= $as_of then 'created_later'
        when entitled.account_id is null then 'had_everything'
    end as part,
    count(*) as accounts
from marts.person_accounts as accounts
left join marts.entitled_accounts as entitled
    on accounts.platform = entitled.platform and accounts.account_id = entitled.account_id
left join (select distinct platform, account_id from lists) as lists
    on accounts.platform = lists.platform and accounts.account_id = lists.account_id
group by all
order by all
"""
# counted from what the shards ranked and from what linkage wrote, and not from the models that make lists of them
RANKED = """
with accounts as (
    select persons.platform, persons.account_id, persons.person_id
    from persons
    inner join intermediate.int_accounts as known
        on persons.platform = known.platform and persons.account_id = known.account_id
    where known.created_at < $as_of
),

list_rows as (
    select ranked.platform
    from ranked
    inner join accounts on ranked.platform = accounts.platform and ranked.account_id = accounts.account_id
    where ranked.strategy = 'popular'
    union all
    select ranked.platform
    from ranked
    inner join accounts on ranked.platform = accounts.platform and ranked.person_id = accounts.person_id
    where ranked.strategy != 'popular'
)

select platform, count(*) as list_rows from list_rows group by all order by all
"""


def check_lists(night: Night) -> None:
    """Prove that no account and no ranked row was lost on the way into the lists that would be published.

    Raises:
        GateStopped: names each platform whose accounts or rows do not add up.
    """
    prove(night, "lists", _lines(night, night.read_table(night.key("lists.parquet"))), remedy=REMEDY)


def _lines(night: Night, lists: pa.Table) -> Iterator[Line]:
    in_lists = {row["platform"]: row["account_id_count"] for row in _count(lists)}
    with connect(night.settings) as warehouse:
        warehouse.register("lists", lists)
        warehouse.register("ranked", night.read_table(night.key("ranked.parquet")))
        warehouse.register("persons", night.read_table(identity_key(night.as_of, PERSON.ids)))
        parts: dict[str, dict[str | None, int]] = defaultdict(dict)
        for platform, part, accounts in warehouse.execute(ACCOUNTS, {"as_of": night.as_of}).fetchall():
            parts[platform][part] = accounts
        ranked = dict(warehouse.execute(RANKED, {"as_of": night.as_of}).fetchall())
    for platform in sorted({*parts, *ranked, *in_lists}):
        if is_frozen(night, platform):  # it keeps the lists that it has
            continue
        named = {part: rows for part, rows in parts[platform].items() if part is not None}
        yield Line(platform, TABLE, night.as_of, "accounts", sum(parts[platform].values()), named)
        yield Line(
            platform, TABLE, night.as_of, "ranked", ranked.get(platform, 0), {"list_row": in_lists.get(platform, 0)}
        )


def _count(lists: pa.Table) -> list[dict[str, Any]]:
    counted: list[dict[str, Any]] = lists.group_by("platform").aggregate([("account_id", "count")]).to_pylist()
    return counted
