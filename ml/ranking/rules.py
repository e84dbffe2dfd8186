"""Rules that people write about lists: pins and bans. They must not contradict each other."""

from collections.abc import Iterator
from itertools import combinations
from typing import Any

import pyarrow as pa

FILE = "dbt_project/seeds/list_rules.csv"


def check_rules(rules: pa.Table, list_size: int) -> None:
    """Checks that the rules of one night can hold together. People write them by hand, so there are few.

    `rules` has the columns platform, item_id, product_id (null: there is no such item) and rule (`pin` or `ban`), all strings,
    and rank (integer; null for a ban).

    Raises:
        ValueError: the message has every rule and every pair of rules that cannot hold, and what to do.
    """
    ordered = sorted(rules.to_pylist(), key=lambda rule: [str(value) for value in rule.values()])
    wrong = [*_alone(ordered, list_size), *(line for pair in combinations(ordered, 2) for line in _together(*pair))]
    if wrong:
        raise ValueError("\n".join(["the rules about tonight's lists cannot hold:", *wrong, f"Remedy: mend {FILE}."]))


def _alone(rules: list[dict[str, Any]], list_size: int) -> Iterator[str]:
    for rule in rules:
        where = f"platform '{rule['platform']}', item '{rule['item_id']}'"
        if rule["rule"] == "pin" and (rule["rank"] is None or not 1 <= rule["rank"] <= list_size):
            yield f"  {where}: a pin needs a rank from 1 to {list_size}. Received: {rule['rank'] or 'none'}."
        if rule["rule"] == "ban" and rule["rank"] is not None:
            yield f"  {where}: a ban has no rank. Received: {rule['rank']}."


def _together(one: dict[str, Any], other: dict[str, Any]) -> Iterator[str]:
    if one["platform"] != other["platform"]:
        return
    items = " and ".join(f"'{item}'" for item in dict.fromkeys([one["item_id"], other["item_id"]]))
    where = f"platform '{one['platform']}', item {items}"
    same = one["item_id"] == other["item_id"] or (one["product_id"] and one["product_id"] == other["product_id"])
    if same and {one["rule"], other["rule"]} == {"pin", "ban"}:
        yield f"  {where}: pinned and banned. Keep one of the two."
    elif one["rule"] == other["rule"] == "pin" and one["rank"] == other["rank"]:
        yield f"  {where}: two pins at rank {one['rank']}. Give one of them another rank."
    elif same and one["rule"] == other["rule"] == "pin":
        yield f"  {where}: one product pinned twice, at {one['rank']} and {other['rank']}. Keep one of the two."
