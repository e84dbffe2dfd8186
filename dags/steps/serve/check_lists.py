"""Gate before publication: every account, candidate and ranked row is in the lists, or has a reason why not."""

from collections import defaultdict
from collections.abc import Iterator
from typing import Any

import pyarrow as pa

from dags.steps.conservation import Line, prove
from dags.steps.night import Night
from dags.steps.serve.candidate_lines import candidate_lines
from dags.steps.serve.frozen import is_frozen
from dags.steps.serve.listed_rows import compared

TABLE = "lists"
REMEDY = (
    "look for an inner join or a filter in `serving_candidates` (candidates), in `ml.ranking` (scored), in `list_rows` and "
    "`recommendations` (ranked), or an account without candidates and without a "
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
# rows that the shards ranked, for every account that must be shown them; the models that make lists of them are not asked
RANKED = "select platform, count(*) from scored group by all order by all"


def check_lists(night: Night) -> None:
    """Prove that no account, candidate or ranked row was lost on the way into the lists that would be published.

    Raises:
        GateStopped: names each platform whose accounts or rows do not add up.
    """
    lists = night.read_table(night.key("lists.parquet"))
    prove(night, "lists", [*candidate_lines(night), *_lines(night, lists)], remedy=REMEDY)


def _lines(night: Night, lists: pa.Table) -> Iterator[Line]:
    in_lists = {row["platform"]: row["account_id_count"] for row in _count(lists)}
    with compared(night, lists) as warehouse:
        parts: dict[str, dict[str | None, int]] = defaultdict(dict)
        for platform, part, accounts in warehouse.execute(ACCOUNTS, {"as_of": night.as_of}).fetchall():
            parts[platform][part] = accounts
        ranked = dict(warehouse.execute(RANKED).fetchall())
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
