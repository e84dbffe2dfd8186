import itertools

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ml.ranking.rerank import rerank


def scored(*rows: tuple[object, ...], names: str = "person_id platform item_id score category") -> pa.Table:
    return pa.Table.from_pylist([dict(zip(names.split(), row, strict=True)) for row in rows])


def ranks(table: pa.Table) -> list[tuple[str, str, int]]:
    return [(row["person_id"], row["item_id"], row["rank"]) for row in table.to_pylist()]


def test_lists_are_by_person_and_platform_best_first() -> None:
    table = scored(
        ("p2", "shop", "i1", 0.1, "x"),
        ("p1", "shop", "i1", 0.2, "x"),
        ("p1", "stream", "i1", 0.9, "x"),
        ("p1", "shop", "i2", 0.3, "x"),
        ("p1", "shop", "i3", 0.1, "x"),
    )
    result = rerank(table, list_size=2).select(["person_id", "platform", "item_id", "rank"]).to_pylist()
    assert [tuple(row.values()) for row in result] == [
        ("p1", "shop", "i2", 1),
        ("p1", "shop", "i1", 2),
        ("p1", "stream", "i1", 1),
        ("p2", "shop", "i1", 1),
    ]


def test_ties_go_to_the_smaller_item_id() -> None:
    table = scored(("p", "s", "b", 0.5, "x"), ("p", "s", "c", 0.5, "x"), ("p", "s", "a", 0.5, "x"))
    assert ranks(rerank(table, 2)) == [("p", "a", 1), ("p", "b", 2)]


def test_cap_holds_back_and_fills_a_short_list_with_the_next_best() -> None:
    table = scored(
        ("p", "s", "a1", 0.9, "a"), ("p", "s", "a2", 0.8, "a"), ("p", "s", "a3", 0.7, "a"), ("p", "s", "b1", 0.1, "b")
    )
    assert ranks(rerank(table, 2, max_per_category=1)) == [("p", "a1", 1), ("p", "b1", 2)]
    assert ranks(rerank(table, 3, max_per_category=1)) == [("p", "a1", 1), ("p", "a2", 2), ("p", "b1", 3)]


def test_no_category_has_no_cap() -> None:
    table = scored(("p", "s", "i1", 0.9, None), ("p", "s", "i2", 0.8, None), ("p", "s", "i3", 0.7, "a"))
    assert ranks(rerank(table, 2, max_per_category=1)) == [("p", "i1", 1), ("p", "i2", 2)]


def test_consumed_and_unavailable_items_are_left_out() -> None:
    table = scored(
        ("p", "s", "i1", 0.9, True, True),
        ("p", "s", "i2", 0.8, False, False),
        ("p", "s", "i3", 0.7, None, None),
        ("q", "s", "i1", 0.9, True, True),
        names="person_id platform item_id score is_consumed is_available",
    )
    assert ranks(rerank(table, 5, max_per_category=2)) == [("p", "i3", 1)]


@pytest.mark.parametrize("score", [None, float("nan"), float("inf")])
def test_a_row_without_a_score_is_an_error(score: float | None) -> None:
    with pytest.raises(ValueError, match="1 of 2 scores are null, NaN or infinite"):
        rerank(scored(("p", "s", "i1", 0.9, "x"), ("p", "s", "i2", score, "x")), 2)


def test_no_rows_no_lists() -> None:
    table = scored(("p", "s", "i1", 0.9, "x")).slice(0, 0)
    assert rerank(table, 2, max_per_category=1).num_rows == 0


@settings(deadline=None, max_examples=50)
@given(seed=st.integers(0, 10_000), size=st.integers(1, 6), cap=st.integers(1, 4))
def test_equals_a_list_built_item_by_item(seed: int, size: int, cap: int) -> None:
    random = np.random.default_rng(seed)
    pairs = list(itertools.product(["p", "q"], ["s", "t"], [f"i{n}" for n in range(8)]))
    rows = [(*pair, float(random.integers(5)) / 5, f"c{random.integers(3)}") for pair in pairs]
    expected = []
    for person, platform in itertools.product(["p", "q"], ["s", "t"]):
        best = sorted((row for row in rows if row[:2] == (person, platform)), key=lambda row: (-row[3], row[2]))
        taken: list[tuple[object, ...]] = []
        for row in best:
            if len(taken) < size and sum(other[4] == row[4] for other in taken) < cap:
                taken.append(row)
        taken += [row for row in best if row not in taken][: size - len(taken)]
        expected += [row[:3] for row in sorted(taken, key=best.index)]
    random.shuffle(rows)
    result = rerank(scored(*rows), size, cap).select(["person_id", "platform", "item_id"]).to_pylist()
    assert [tuple(row.values()) for row in result] == expected
