from dataclasses import replace
from datetime import date

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from expectations import recommendations
from expectations.gate import GateResult, run_gate
from expectations.recommendations import Declared, reason_pattern
from ml.ranking.rerank import EXPLORED_FROM, Exploration, rerank

NIGHT = date(2000, 12, 15)
ACCOUNTS = [f"a{i}" for i in range(10)]
SIZE = 5
DECLARED = Declared(
    NIGHT, "7", list_size=SIZE, max_per_category=2, exploration=0.5, explored_from=EXPLORED_FROM, min_list_length=4
)
REASONS = reason_pattern(
    [*recommendations.REASONS, "because you {verb} {title} on {other_platform}"],
    {"verb": ["bought", "watched"], "title": None, "other_platform": ["shop", "stream"], "platform": ["shop"]},
)


def rows(accounts: list[str] = ACCOUNTS) -> list[dict]:
    return [
        {
            "platform": "shop",
            "account_id": account,
            "person_id": f"person {account}",
            "rank": rank,
            "item_id": f"i{number + rank}",
            "product_id": f"p{number + rank}",
            "score": 1.0 - rank / 10 - number / 1000,
            "strategy": "popular" if number < 2 else "personalised",
            "slot": "ranked",
            "propensity": 1.0,
            "reason": "new on shop",
            "category": f"c{rank % 3}",
            "as_of": NIGHT,
            "model_version": None if number < 2 else "7",
            "recommendation_id": f"r{number}-{rank}",
            **dict.fromkeys(recommendations.CONFIRMED, True),
            "is_consumed": False,
            "is_banned": False,
            "generators": None if number < 2 else 3.0 + number % 3,
            "usual_generators": None if number < 2 else 2.0,
        }
        for number, account in enumerate(accounts)
        for rank in range(1, SIZE + 1)
    ]


def lists(*changes: tuple[int, str, object], accounts: list[str] = ACCOUNTS) -> pa.Table:
    changed = rows(accounts)
    schema = pa.Table.from_pylist(changed).schema
    for row, column, value in changes:
        changed[row][column] = value
    return pa.Table.from_pylist(changed, schema=schema)


def with_column(table: pa.Table, name: str, values: list) -> pa.Table:
    return table.set_column(table.column_names.index(name), name, pa.array(values, table.schema.field(name).type))


def check(
    table: pa.Table,
    accounts=ACCOUNTS,
    population=None,
    products_left=40,
    available_items=40,
    versions=("7", None),
    previous: pa.Table | None = None,
    declared: Declared = DECLARED,
    rows_lost=0,
    **limits,
) -> GateResult:
    frame = recommendations.frame(
        table,
        declared,
        entitled=pa.table({"account_id": accounts, "products_left": [products_left] * len(accounts)}),
        population=pa.array(accounts if population is None else population),
        available_items=available_items,
        reasons=REASONS,
        rows_lost=rows_lost,
        versions=versions,
        previous=previous,
    )
    return run_gate("recommendations", recommendations.suite(declared, **limits), frame, as_of=NIGHT, platform="shop")


def test_good_lists_pass():
    result = check(lists(), previous=lists())
    assert result.verdict == "pass", result.failed


@pytest.mark.parametrize(
    "ruled",
    [
        lists((0, "slot", "pinned"), (0, "score", None)),
        lists((4, "slot", "pinned"), (4, "score", 0.95)),
        lists((14, "slot", "explored"), (14, "propensity", 0.05), (14, "score", 0.95)),
        lists((14, "slot", "explored"), (14, "propensity", 0.5 / 3)),
        lists((14, "propensity", 0.5)),
        lists((2, "category", "c1"), (0, "slot", "pinned")),
    ],
)
def test_rows_that_came_to_their_place_by_a_rule_or_a_draw_need_not_stand_by_score(ruled):
    result = check(ruled)
    assert result.verdict != "stop", result.failed


def test_in_diverse_lists_rows_of_one_category_stand_by_score():
    other_category, same_category = lists((2, "score", 0.1)), lists((0, "score", 0.1))
    assert check(other_category).verdict == "stop"
    diverse = replace(DECLARED, diversity=0.5)
    assert check(other_category, declared=diverse).verdict == "pass"
    [failed] = check(same_category, declared=diverse).failed
    assert "never rise" in failed.description


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


def denied(*faults: tuple[int, str, object], times: int = 1) -> set[str]:
    """The descriptions of the rules that as many rows as there are faults break, each fault in a row of its own."""
    result = check(lists(*faults))
    assert result.verdict == "stop"
    share = times / 50
    said = f"{times} of 50 rows not so ({share:{'.2%' if share < 0.1 else '.1%'}})"
    return {failed.description for failed in result.failed if failed.observed == said and failed.severity == "stop"}


def test_what_the_lists_claim_and_something_else_denies_stops():
    """One row for each claim: no rule covers for another."""
    flags = [name for name in recommendations.CONFIRMED if name not in ("in_catalogue", "is_available")]
    found = denied(*((row, name, False) for row, name in enumerate(flags)))
    for words in (
        "the person whom the account belongs to",
        "that are not deleted",
        "the product that it is",
        "proposed to the account's own person",
        "that the score tasks ranked",
        "a recommendation_id of its own",
    ):
        assert any(words in description for description in found), words
    assert len(found) == len(flags)


def test_rows_of_another_night_or_version_stop():
    assert denied((4, "as_of", date(2000, 12, 14)), (10, "model_version", "6")) == {
        "only rows of 2000-12-15",
        "personalised rows of version 7, which serves tonight, and popular ones of none",
    }
    [description] = denied((4, "model_version", "7"), (10, "model_version", None), times=2)
    assert "of version 7" in description


def test_propensities_other_than_the_declared_exploration_gives_stop():
    """It gives 1, .5, and .5 / k in one slot of a personalised list."""
    wrong = [
        *((14, name, value) for name, value in (("propensity", 0.9),)),
        *((19, name, value) for name, value in (("slot", "explored"), ("propensity", 0.5 / 11))),
        (24, "slot", "explored"),
        (4, "propensity", 0.5),  # of a popular list
        *((29, name, value) for name, value in (("slot", "pinned"), ("propensity", 0.5))),
        *((row, "propensity", 0.5) for row in (33, 34)),  # two slots that draw
    ]
    [description] = denied(*wrong, times=7)
    assert "that the declared exploration gives" in description


def test_reasons_of_no_declared_kind_stop():
    told = ("because you were born in 1961", "new on stream", "because you bought Brazil on forum", "{verb} it")
    [description] = denied(*((row, "reason", reason) for row, reason in enumerate(told)), times=len(told))
    assert "reasons of a declared kind" in description


def test_nothing_that_identifies_a_row_may_be_missing():
    missing = ("person_id", "as_of", "recommendation_id", "reason", "product_id")
    found = denied(*((row, name, None) for row, name in enumerate(missing)))
    assert {f"a value of {name} in every row" for name in missing} <= found


def test_a_reason_may_name_what_its_kind_allows():
    told = lists((4, "reason", "because you bought Brazil (1985): a\nfilm on shop on stream"))
    assert check(told).verdict == "pass"


@pytest.mark.parametrize(
    ("broken", "verdict", "observed"),
    [
        ({"accounts": [*ACCOUNTS, "forgotten", "also forgotten"]}, "stop", "2"),
        ({"versions": ["7", "8", None]}, "stop", "2"),
        ({"rows_lost": 3}, "stop", "3"),
        ({"declared": replace(DECLARED, list_size=4)}, "stop", "10 of 50 rows not so (20.0%)"),
        ({"declared": replace(DECLARED, list_size=8, min_list_length=6)}, "stop", "10.0%"),
        ({"popular_share_limit": 0.1}, "warn", "20.0%"),
        ({"available_items": 1_000}, "warn", "1.40%"),
        ({"previous": lists(*((row, "item_id", f"old{row}") for row in range(47)))}, "warn", "6.00%"),
    ],
)
def test_each_rule_over_all_lists_is_seen(broken, verdict, observed):
    result = check(lists(), **broken)
    assert result.verdict == verdict, result.failed
    assert [failed.observed for failed in result.failed] == [observed]


def test_a_list_is_not_short_where_the_platform_has_no_more_to_show():
    assert check(lists(), declared=replace(DECLARED, list_size=8, min_list_length=6), products_left=5).verdict == "pass"


def test_lists_that_the_last_publication_has_and_tonight_has_not_stop():
    """Six of a hundred accounts are lost. They have left the entitled accounts too, so nothing else sees it."""
    before = [f"a{i}" for i in range(100)]
    previous = pa.table({"account_id": before, "item_id": [f"i{max(i - 6, 0) + 1}" for i in range(100)]})
    tonight = lists(accounts=before[6:])
    result = check(tonight, accounts=before[6:], population=before, previous=previous, available_items=200)
    [failed] = result.failed
    assert (failed.severity, failed.observed) == ("stop", "6.00%")
    assert "that have one now" in failed.description
    deleted = check(tonight, accounts=before[6:], population=before[6:], previous=previous, available_items=200)
    assert deleted.verdict == "pass", deleted.failed


def test_lists_kept_from_the_last_publication_are_counted_by_account_and_item():
    previous = pa.table({"account_id": ["a0", "a0", "a1", "left"], "item_id": ["i1", "old", "i1", "i1"]})
    result = check(lists(), previous=previous, kept_floor=0.34)
    assert [failed.observed for failed in result.failed] == ["33.3%"]


def test_where_all_accounts_are_new_nothing_was_lost():
    previous = pa.table({"account_id": ["left"], "item_id": ["i1"]})
    assert check(lists(), previous=previous).verdict == "pass"


MANY = [f"a{i}" for i in range(60)]


def of_many(name: str, values: list) -> pa.Table:
    return with_column(lists(accounts=MANY), name, values)


@pytest.mark.parametrize(
    ("broken", "description"),
    [
        (of_many("score", [0.5] * 60 * SIZE), "scores that differ within the personalised lists"),
        (of_many("score", [1 - rank / 10 for _ in MANY for rank in range(SIZE)]), "scores that differ from person"),
        (of_many("item_id", [f"i{rank}" for _ in MANY for rank in range(SIZE)]), "lists that differ from person"),
        (of_many("generators", [1.0 + row % 2 / 10 for row in range(60 * SIZE)]), "what more generators proposed"),
    ],
)
def test_lists_of_a_model_that_tells_nothing_apart_stop(broken, description):
    good = check(lists(accounts=MANY), accounts=MANY, available_items=200)
    assert good.verdict == "pass", good.failed
    result = check(broken, accounts=MANY, available_items=200)
    assert result.verdict == "stop"
    assert any(description in failed.description for failed in result.failed), result.failed


def test_in_a_catalogue_of_one_list_everybody_may_have_the_same():
    same = of_many("item_id", [f"i{rank}" for _ in MANY for rank in range(SIZE)])
    assert check(same, accounts=MANY, available_items=SIZE).verdict == "pass"


def test_lists_that_all_explore_where_half_of_them_should_stop():
    last = [row for row in range(10, 60 * SIZE) if row % SIZE == SIZE - 1]
    changes = [(row, *change) for row in last for change in (("slot", "explored"), ("propensity", 0.05))]
    result = check(lists(*changes, accounts=MANY), accounts=MANY, available_items=200)
    [failed] = result.failed
    assert (failed.severity, failed.description[:9]) == ("stop", "about 50%")


@pytest.mark.parametrize("diversity", [0.0, 0.3])
@pytest.mark.parametrize("cap", [2, 8])
def test_what_the_reranking_makes_is_in_its_order(cap, diversity):
    """Caps, exploration, pins and rows that were shown too often: whatever it does, the gate finds no fault."""
    import numpy as np

    random = np.random.default_rng(7)
    persons, per_person, size = 40, 12, 10
    scored = pa.table(
        {
            "person_id": [f"p{number}" for number in range(persons) for _ in range(per_person)],
            "platform": ["shop"] * persons * per_person,
            "item_id": [f"i{item}" for _ in range(persons) for item in range(per_person)],
            "score": random.random(persons * per_person),
            "category": random.choice(["c0", "c1", None], persons * per_person).tolist(),
            "is_overshown": random.random(persons * per_person) < 0.2,
            "is_new": random.random(persons * per_person) < 0.2,
            "pinned_rank": pa.array([3 if item == 4 else None for _ in range(persons) for item in range(per_person)]),
        }
    )
    placed = rerank(scored, size, cap, diversity, Exploration(0.5, "key"))
    table = placed.append_column("account_id", placed["person_id"])
    rows = placed.num_rows
    constants = {
        "strategy": "personalised",
        "reason": "new on shop",
        "model_version": "7",
        "is_consumed": False,
        "is_banned": False,
        **dict.fromkeys(recommendations.CONFIRMED, True),
    }
    for name, value in constants.items():
        table = table.append_column(name, pa.array([value] * rows))
    table = table.append_column("as_of", pa.array([NIGHT] * rows))
    table = table.append_column("product_id", table["item_id"])
    table = table.append_column("recommendation_id", pa.array([f"r{row}" for row in range(rows)]))
    for name in ("generators", "usual_generators"):
        table = table.append_column(name, pa.nulls(rows, pa.float64()))
    accounts = pc.unique(table["account_id"]).to_pylist()
    declared = replace(DECLARED, list_size=size, max_per_category=cap, diversity=diversity)
    result = check(table, accounts=accounts, declared=declared, available_items=per_person)
    assert result.verdict != "stop", result.failed
