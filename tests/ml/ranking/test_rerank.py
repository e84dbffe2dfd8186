import itertools

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ml.ranking.rerank import EXPLORED_FROM, Exploration, assign_slots, rerank


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
        kept: list[tuple[object, ...]] = []
        for row in best:
            if len(kept) < size and sum(other[4] == row[4] for other in kept) < cap:
                kept.append(row)
        kept += [row for row in best if row not in kept][: size - len(kept)]
        expected += [row[:3] for row in sorted(kept, key=best.index)]
    random.shuffle(rows)
    result = rerank(scored(*rows), size, cap).select(["person_id", "platform", "item_id"]).to_pylist()
    assert [tuple(row.values()) for row in result] == expected


def test_diversity_prefers_the_best_of_each_category_to_a_little_more_relevance() -> None:
    table = scored(
        ("p", "s", "a1", 1.0, "a"), ("p", "s", "a2", 0.9, "a"), ("p", "s", "b1", 0.8, "b"), ("p", "s", "b2", 0.0, "b")
    )
    # of a score of 1 at diversity 0.25: 0.75 for a1, 0.6 for b1; 0.675 - 0.25 for a2
    assert ranks(rerank(table, 3, diversity=0.25)) == [("p", "a1", 1), ("p", "b1", 2), ("p", "a2", 3)]
    assert ranks(rerank(table, 2, diversity=0.05)) == [("p", "a1", 1), ("p", "a2", 2)]


@settings(deadline=None, max_examples=50)
@given(seed=st.integers(0, 10_000), size=st.integers(1, 6), diversity=st.sampled_from([0.0, 0.1, 0.3, 0.7, 1.0]))
def test_one_sort_is_the_greedy_choice_of_rank_after_rank(seed: int, size: int, diversity: float) -> None:
    random = np.random.default_rng(seed)
    rows = [("p", "s", f"i{n}", float(random.integers(9)) / 8, random.choice(["a", "b", None])) for n in range(8)]
    high, low = max(row[3] for row in rows), min(row[3] for row in rows)

    def marginal(row: tuple, above: list[tuple]) -> float:
        relevance = (row[3] - low) / (high - low) if high > low else 1.0
        alike = any(row[4] is not None and row[4] == other[4] for other in above)
        return (1 - diversity) * relevance - diversity * alike

    chosen: list[tuple] = []
    while len(chosen) < size:
        chosen.append(min(set(rows) - set(chosen), key=lambda row: (-marginal(row, chosen), -row[3], row[2])))
    result = rerank(scored(*rows), size, diversity=diversity)
    assert result["item_id"].to_pylist() == [row[2] for row in chosen]


def test_what_was_shown_too_often_only_fills_a_list_that_would_be_short() -> None:
    table = scored(
        ("p", "s", "seen", 0.9, "a", True),
        ("p", "s", "a1", 0.5, "a", False),
        ("p", "s", "a2", 0.4, "a", None),
        names="person_id platform item_id score category is_overshown",
    )
    assert ranks(rerank(table, 2, max_per_category=1)) == [("p", "a1", 1), ("p", "a2", 2)]
    assert ranks(rerank(table, 3, max_per_category=1)) == [("p", "seen", 1), ("p", "a1", 2), ("p", "a2", 3)]


def test_what_was_shown_too_often_uses_up_no_cap() -> None:
    table = scored(
        ("p", "s", "seen", 0.9, "a", True),
        ("p", "s", "a1", 0.5, "a", False),
        ("p", "s", "b1", 0.4, "b", False),
        ("p", "s", "c1", 0.3, "c", False),
        names="person_id platform item_id score category is_overshown",
    )
    assert ranks(rerank(table, 2, max_per_category=1)) == [("p", "a1", 1), ("p", "b1", 2)]


PINNABLE = "person_id platform item_id score category pinned_rank"


def test_pins_stand_at_their_ranks_and_count_for_no_cap() -> None:
    table = scored(
        ("p", "s", "i1", 0.9, "a", None),
        ("p", "s", "i2", 0.8, "a", None),
        ("p", "s", "i3", 0.7, "b", None),
        ("p", "s", "top", None, "a", 1),
        ("p", "s", "third", 0.1, "a", 3),
        ("q", "s", "i1", 0.9, "a", None),
        ("q", "s", "late", 0.2, "a", 3),
        names=PINNABLE,
    )
    result = rerank(table, 4, max_per_category=1)
    assert ranks(result) == [
        *(("p", "top", 1), ("p", "i1", 2), ("p", "third", 3), ("p", "i3", 4)),
        *(("q", "i1", 1), ("q", "late", 2)),
    ]
    assert result["slot"].to_pylist() == ["pinned", "ranked", "pinned", "ranked", "ranked", "pinned"]
    assert set(result["propensity"].to_pylist()) == {1.0}


def test_a_list_may_be_all_pins() -> None:
    table = scored(("p", "s", "i1", 0.9, "a", None), ("p", "s", "pin", None, "b", 1), names=PINNABLE)
    assert ranks(rerank(table, 1, exploration=Exploration(0.5, "key"))) == [("p", "pin", 1)]


def crowd(people: int, items: int) -> pa.Table:
    return scored(*((f"p{n}", "s", f"i{i:02}", 1 - i / 100, None) for n in range(people) for i in range(items)))


def test_exploration_draws_the_last_place_with_the_propensity_it_logs() -> None:
    people, size, share = 4_000, 5, 0.4
    placed = assign_slots(crowd(people, 30), size, exploration=Exploration(share, "2000-12-15"))
    shown = placed.filter(placed["rank"].is_valid()).to_pandas()
    assert (shown.groupby("person_id")["rank"].max() == size).all()
    assert (shown[shown["rank"] < size]["propensity"] == 1).all()
    last = shown[shown["rank"] == size]
    assert set(last["slot"]) == {"ranked", "explored"}
    logged = last.groupby("item_id")["propensity"].agg(["first", "nunique", "size"])
    assert logged.index.tolist() == [f"i{i:02}" for i in range(size - 1, size + EXPLORED_FROM)]
    assert (logged["nunique"] == 1).all()
    # four standard errors of a share of 4,000
    assert np.abs(logged["size"] / people - logged["first"]).max() < 4 * np.sqrt(0.25 / people)
    might = placed.to_pandas().query("propensity < 1").groupby("person_id")["propensity"]
    assert might.sum().to_numpy() == pytest.approx(np.ones(people))
    assert (might.size() == 1 + EXPLORED_FROM).all()


def test_the_best_new_items_come_next_in_line_for_the_exploration_slot() -> None:
    """Those that are in the list have no need of it, and what is held back stays so, by showing (i26) and by cap (i27)."""
    table = crowd(3, 30).drop(["category"])
    item = table["item_id"]
    for name, items in {"is_new": ["i02", "i25", "i26", "i27", "i28", "i29"], "is_overshown": ["i26"]}.items():
        table = table.append_column(name, pc.is_in(item, pa.array(items)))
    kinds = pc.if_else(pc.is_in(item, pa.array(["i00", "i27"])), "capped", item)
    placed = assign_slots(table.append_column("category", kinds), 5, 1, exploration=Exploration(0.5, "key")).to_pandas()
    for _, rows in placed[placed["propensity"] == 0.05].groupby("person_id"):
        assert sorted(rows["item_id"]) == [*(f"i{i:02}" for i in range(5, 12)), "i25", "i28", "i29"]
    might = placed[placed["propensity"] < 1].groupby("person_id")["propensity"]
    assert might.sum().to_numpy() == pytest.approx(np.ones(3))
    listed = placed[placed["propensity"] == 1].groupby("person_id")["item_id"].apply(list)
    assert listed.tolist() == [["i00", "i01", "i02", "i03"]] * 3


def test_a_draw_depends_on_the_key_the_person_and_nobody_else() -> None:
    def explored(people: int, key: str) -> dict[str, str]:
        last = rerank(crowd(people, 30), 5, exploration=Exploration(0.5, key)).to_pandas().query("rank == 5")
        return dict(zip(last["person_id"], last["item_id"], strict=True))

    few, many = explored(20, "a"), explored(60, "a")
    assert few == {person: many[person] for person in few}
    assert explored(60, "b") != many


def test_a_list_with_nothing_below_it_explores_nothing() -> None:
    result = rerank(crowd(50, 5), 5, exploration=Exploration(0.9, "key"))
    assert result["item_id"].to_pylist() == [f"i{i:02}" for _ in range(50) for i in range(5)]
    assert set(result["propensity"].to_pylist()) == {1.0}


def test_a_slot_that_a_pin_fills_is_not_explored_but_the_one_above_is() -> None:
    pins = scored(*((f"p{n}", "s", "pin", None, None, 5) for n in range(50)), names=PINNABLE)
    table = pa.concat_tables([crowd(50, 30), pins], promote_options="permissive")
    result = rerank(table, 5, exploration=Exploration(0.5, "key")).to_pandas()
    assert set(result[result["rank"] == 5]["item_id"]) == {"pin"}
    assert set(result[result["rank"] == 4]["slot"]) == {"ranked", "explored"}
    assert (result[result["rank"] < 4]["slot"] == "ranked").all()
