from datetime import date

import pyarrow as pa
import pytest

from expectations import recommendations
from expectations.gate import GateResult, run_gate

ACCOUNTS = [f"a{i}" for i in range(10)]
SIZE = 5


def rows() -> list[dict]:
    return [
        {
            "platform": "shop",
            "account_id": account,
            "rank": rank,
            "item_id": f"i{number + rank}",
            "product_id": f"p{number + rank}",
            "score": 1.0 - rank / 10,
            "strategy": "popular" if number < 2 else "personalised",
            "slot": "ranked",
            "propensity": 1.0,
            "reason": "new on shop",
            "category": f"c{rank % 3}",
            "is_consumed": False,
            "is_available": True,
            "in_catalogue": True,
            "is_banned": False,
        }
        for number, account in enumerate(ACCOUNTS)
        for rank in range(1, SIZE + 1)
    ]


def lists(*changes: tuple[int, str, object]) -> pa.Table:
    changed = rows()
    schema = pa.Table.from_pylist(changed).schema
    for row, column, value in changes:
        changed[row][column] = value
    return pa.Table.from_pylist(changed, schema=schema)


def check(
    table: pa.Table,
    accounts=ACCOUNTS,
    available_items=40,
    versions=("7", None),
    previous: pa.Table | None = None,
    **limits,
) -> GateResult:
    frame = recommendations.frame(
        table,
        active_accounts=pa.array(accounts),
        available_items=available_items,
        versions=versions,
        previous=previous,
    )
    suite = recommendations.suite(**{"list_size": SIZE, "max_per_category": 2} | limits)
    return run_gate("recommendations", suite, frame, as_of=date(2000, 12, 15), platform="shop")


def test_good_lists_pass():
    result = check(lists(), previous=lists())
    assert result.verdict == "pass", result.failed


@pytest.mark.parametrize(
    "ruled",
    [
        lists((0, "slot", "pinned"), (0, "score", None)),
        lists((4, "slot", "pinned"), (4, "score", 0.95)),
        lists((4, "slot", "explored"), (4, "propensity", 0.05), (4, "score", 0.95)),
        lists((2, "category", "c1"), (0, "slot", "pinned")),
    ],
)
def test_rows_that_came_to_their_place_by_a_rule_or_a_draw_need_not_stand_by_score(ruled):
    result = check(ruled)
    assert result.verdict == "pass", result.failed


def test_in_diverse_lists_rows_of_one_category_stand_by_score():
    other_category, same_category = lists((2, "score", 0.1)), lists((0, "score", 0.1))
    frames = [
        recommendations.frame(table, active_accounts=pa.array(ACCOUNTS), available_items=40, diverse=diverse)
        for table, diverse in ((other_category, False), (other_category, True), (same_category, True))
    ]
    rises = [sum(value > 0 for value in frame["score_rise"].to_pylist()) for frame in frames]
    assert rises == [1, 0, 1]


def test_order_of_rows_does_not_matter():
    shuffled = lists().take(list(range(len(rows())))[::-1])
    assert check(shuffled).verdict == "pass"


@pytest.mark.parametrize(
    ("broken", "verdict", "description"),
    [
        (lists().slice(0, 0), "stop", "at least one list"),
        (lists((4, "item_id", None)), "stop", "a value of item_id"),
        (lists((4, "score", None)), "stop", "a value of score"),
        (lists((4, "rank", 3)), "stop", "one item per rank"),
        (lists((4, "item_id", "i1")), "stop", "every item once"),
        (lists((4, "product_id", "p1")), "stop", "every product once"),
        (lists((4, "rank", 6)), "stop", "ranks 1, 2, 3"),
        (lists((0, "rank", 0)), "stop", "ranks 1, 2, 3"),
        (lists((4, "is_consumed", True)), "stop", "already had"),
        (lists((4, "is_available", False)), "stop", "available tonight"),
        (lists((4, "in_catalogue", False)), "stop", "own catalogue"),
        (lists((4, "is_consumed", None)), "stop", "a value of is_consumed"),
        (lists((4, "is_available", None)), "stop", "a value of is_available"),
        (lists((4, "score", float("nan"))), "stop", "finite scores"),
        (lists((4, "score", float("inf"))), "stop", "finite scores"),
        (lists((4, "score", 0.95)), "stop", "never rise"),
        (lists((4, "is_banned", True)), "stop", "a rule bans"),
        (lists((4, "is_banned", None)), "stop", "a value of is_banned"),
        (lists((4, "propensity", 0.0)), "stop", "propensities above 0"),
        (lists((4, "propensity", 1.1)), "stop", "propensities above 0"),
        (lists((4, "propensity", None)), "stop", "a value of propensity"),
        (lists((4, "slot", "bought")), "stop", "slot ranked or explored or pinned"),
        (lists((4, "slot", None)), "stop", "a value of slot"),
        (lists((4, "slot", "explored"), (4, "score", None)), "stop", "a value of score"),
        (lists((1, "slot", "pinned"), (2, "score", 0.95)), "stop", "never rise"),
        (lists((4, "strategy", "random")), "stop", "strategy personalised or popular"),
        (lists((2, "category", "c1"), (4, "category", "c1")), "warn", "items of one category"),
    ],
)
def test_each_rule_over_rows_is_seen(broken, verdict, description):
    result = check(broken)
    assert result.verdict == verdict, result.failed
    assert any(description in failed.description for failed in result.failed), result.failed


@pytest.mark.parametrize(
    ("broken", "verdict", "observed"),
    [
        ({"accounts": [*ACCOUNTS, "forgotten", "also forgotten"]}, "stop", "2"),
        ({"versions": ["7", "8", None]}, "stop", "2"),
        ({"list_size": 4}, "stop", "10 of 50 rows not so (20.0%)"),
        ({"popular_share_limit": 0.1}, "warn", "20.0%"),
        ({"available_items": 1_000}, "warn", "1.40%"),
        ({"previous": lists(*((row, "item_id", f"old{row}") for row in range(47)))}, "warn", "6.00%"),
    ],
)
def test_each_rule_over_all_lists_is_seen(broken, verdict, observed):
    result = check(lists(), **broken)
    assert result.verdict == verdict, result.failed
    assert [failed.observed for failed in result.failed] == [observed]


def test_lists_kept_from_the_last_publication_are_counted_by_account_and_item():
    previous = pa.table({"account_id": ["a0", "a0", "a1", "left"], "item_id": ["i1", "old", "i1", "i1"]})
    frame = recommendations.frame(lists(), active_accounts=pa.array(ACCOUNTS), available_items=40, previous=previous)
    assert frame["kept_from_previous"][0].as_py() == pytest.approx(1 / 3)


def test_where_all_accounts_are_new_nothing_was_lost():
    previous = pa.table({"account_id": ["left"], "item_id": ["i1"]})
    assert check(lists(), previous=previous).verdict == "pass"
