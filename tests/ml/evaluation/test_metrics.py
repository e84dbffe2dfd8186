from math import log2

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from sklearn import metrics as sklearn_metrics
from sklearn.calibration import calibration_curve

from ml.evaluation.metrics import (
    Lists,
    auc,
    by_list,
    calibration_error,
    coverage,
    log_loss,
    placements,
    popularity_shown,
    ranked,
)


def relevant(*rows: tuple[str, str, int]) -> pa.Table:
    return pa.Table.from_pylist([dict(zip(("person_id", "platform", "relevant"), row, strict=True)) for row in rows])


def scored(*rows: tuple[str, str, str, float, int]) -> pa.Table:
    names = ("person_id", "platform", "item_id", "score", "label")
    return pa.Table.from_pylist([dict(zip(names, row, strict=True)) for row in rows])


def test_by_hand() -> None:
    lists = Lists.from_table(relevant(("ann", "shop", 3), ("ann", "forum", 1), ("bob", "shop", 2), ("eve", "shop", 0)))
    table = scored(
        ("ann", "shop", "i1", 0.9, 0),
        ("ann", "shop", "i2", 0.8, 1),
        ("ann", "shop", "i3", 0.7, 0),
        ("ann", "shop", "i4", 0.6, 1),  # the third relevant item was never retrieved
        ("ann", "forum", "i9", 0.1, 1),
        ("eve", "shop", "i1", 0.5, 0),  # nothing to find for eve: not judged; bob has no list: finds nothing
    )
    values = by_list(ranked(table, lists), lists)
    ideal = 1 + 1 / log2(3) + 1 / log2(4)
    assert values["ndcg_at_10"] == pytest.approx([(1 / log2(3) + 1 / log2(5)) / ideal, 1, 0])
    assert values["recall_at_20"] == pytest.approx([2 / 3, 1, 0])
    assert values["mrr"] == pytest.approx([1 / 2, 1, 0])
    assert values["precision_at_10"] == pytest.approx([2 / 10, 1 / 10, 0])
    assert values["f1_at_10"] == pytest.approx([2 * 0.2 * (2 / 3) / (0.2 + 2 / 3), 2 * 0.1 * 1 / 1.1, 0])
    assert values["map_at_10"] == pytest.approx([(1 / 2 + 2 / 4) / 3, 1, 0])


def test_ranks_below_the_cut_do_not_count() -> None:
    lists = Lists.from_table(relevant(("p", "s", 2)))
    rows = [("p", "s", f"i{rank:02}", 1.0 - rank / 100, int(rank in (11, 21))) for rank in range(1, 31)]
    values = by_list(ranked(scored(*rows), lists), lists)
    for metric in ("ndcg_at_10", "precision_at_10", "f1_at_10", "map_at_10"):
        assert values[metric].tolist() == [0]
    assert values["recall_at_20"].tolist() == [0.5]
    assert values["mrr"] == pytest.approx([1 / 11])


def test_equal_scores_are_ordered_by_item_id() -> None:
    lists = Lists.from_table(relevant(("p", "s", 1)))
    values = by_list(ranked(scored(("p", "s", "b", 0.5, 1), ("p", "s", "a", 0.5, 0)), lists), lists)
    assert values["mrr"].tolist() == [0.5]


def test_list_metrics_equal_scikit_learn() -> None:
    random = np.random.default_rng(0)
    labels, scores = random.integers(2, size=(40, 25)), random.random((40, 25))
    labels[:, 0] = 1
    rows = [
        (f"p{person:02}", "s", f"i{item:02}", scores[person, item], int(labels[person, item]))
        for person in range(40)
        for item in range(25)
    ]
    random.shuffle(rows)
    lists = Lists.from_table(relevant(*[(f"p{person:02}", "s", int(labels[person].sum())) for person in range(40)]))
    values = by_list(ranked(scored(*rows), lists), lists)
    shown = scores.argsort(axis=1).argsort(axis=1) >= 15  # the ten best of twenty-five
    for metric, expected in {
        "ndcg_at_10": [sklearn_metrics.ndcg_score([labels[p]], [scores[p]], k=10) for p in range(40)],
        "precision_at_10": [sklearn_metrics.precision_score(labels[p], shown[p]) for p in range(40)],
        "f1_at_10": [sklearn_metrics.f1_score(labels[p], shown[p]) for p in range(40)],
    }.items():
        assert values[metric] == pytest.approx(expected), metric


def test_map_equals_scikit_learns_average_precision_where_the_ten_hold_all() -> None:
    random = np.random.default_rng(0)
    labels, scores = random.integers(2, size=(40, 10)), random.random((40, 10))
    labels[:, 3] = 1
    rows = [
        (f"p{p:02}", "s", f"i{item}", scores[p, item], int(labels[p, item])) for p in range(40) for item in range(10)
    ]
    lists = Lists.from_table(relevant(*[(f"p{p:02}", "s", int(labels[p].sum())) for p in range(40)]))
    expected = [sklearn_metrics.average_precision_score(labels[p], scores[p]) for p in range(40)]
    assert by_list(ranked(scored(*rows), lists), lists)["map_at_10"] == pytest.approx(expected)


def test_a_perfect_ten_has_a_map_of_one_however_much_there_was_to_find() -> None:
    lists = Lists.from_table(relevant(("p", "s", 40)))
    rows = [("p", "s", f"i{rank:02}", 1.0 - rank / 100, 1) for rank in range(20)]
    assert by_list(ranked(scored(*rows), lists), lists)["map_at_10"].tolist() == [1]


def described(*rows: tuple[str, str, float, str | None, float | None]) -> pa.Table:
    """Of platform s, with a category and a popularity."""
    names = ("person_id", "item_id", "score", "category", "popularity")
    return pa.Table.from_pylist(
        [{**dict(zip(names, row, strict=True)), "platform": "s", "label": 0} for row in rows],
        pa.schema(
            [
                ("person_id", pa.string()),
                ("platform", pa.string()),
                ("item_id", pa.string()),
                ("score", pa.float64()),
                ("label", pa.int64()),
                ("category", pa.string()),
                ("popularity", pa.float64()),
            ]
        ),
    )


def test_novelty_and_diversity_by_hand() -> None:
    lists = Lists.from_table(relevant(("ann", "s", 1), ("bob", "s", 1), ("cyd", "s", 1), ("dan", "s", 1)))
    table = described(
        ("ann", "i1", 0.9, "crime", 1 / 8),
        ("ann", "i2", 0.8, "crime", 1 / 2),
        ("ann", "i3", 0.7, "drama", 1 / 4),
        ("ann", "i4", 0.6, None, None),  # unknown: neither alike nor different
        ("bob", "i1", 0.5, "crime", 1 / 8),  # one item is no pair
        ("cyd", "i4", 0.5, None, None),  # and dan is shown nothing
    )
    rows = ranked(table, lists)
    values, shown = by_list(rows, lists), popularity_shown(rows, lists)
    assert values["novelty"] == pytest.approx([(3 + 1 + 2) / 3, 3, np.nan, np.nan], nan_ok=True)
    assert values["intra_list_diversity"] == pytest.approx([2 / 3, np.nan, np.nan, np.nan], nan_ok=True)
    assert shown == pytest.approx([(1 / 8 + 1 / 2 + 1 / 4) / 3, 1 / 8, np.nan, np.nan], nan_ok=True)


def test_novelty_and_diversity_look_at_the_first_ten() -> None:
    lists = Lists.from_table(relevant(("p", "s", 1)))
    rows = [("p", f"i{rank:02}", -rank, "a" if rank < 5 else "b", 0.5 if rank < 10 else 0.01) for rank in range(20)]
    placed = ranked(described(*rows[::-1]), lists)
    assert by_list(placed, lists)["novelty"] == pytest.approx([1])
    assert by_list(placed, lists)["intra_list_diversity"] == pytest.approx([25 / 45])
    assert popularity_shown(placed, lists) == pytest.approx([0.5])


def test_recall_of_new_items_by_hand() -> None:
    lists = relevant(("ann", "s", 3), ("bob", "s", 1), ("cyd", "s", 2)).append_column(
        "relevant_new", pa.array([2, 0, 1])
    )
    rows = [
        ("ann", "s", "new", 0.9, 1),  # one of two; an old one found is none of them
        ("ann", "s", "old", 0.8, 1),
        ("bob", "s", "old", 0.9, 1),  # nothing new to find
        *(("cyd", "s", f"i{rank:02}", 0.9 - rank / 100, 0) for rank in range(20)),
        ("cyd", "s", "new", 0.1, 1),  # not among the first twenty
    ]
    table = scored(*rows)
    table = table.append_column("is_new", pc.if_else(pc.equal(table["item_id"], "new"), True, None))
    judged = Lists.from_table(lists)
    values = by_list(ranked(table, judged), judged)["new_item_recall_at_20"]
    assert values == pytest.approx([1 / 2, np.nan, 0], nan_ok=True)


def test_no_more_new_items_are_found_than_there_were() -> None:
    lists = Lists.from_table(relevant(("p", "s", 1)).append_column("relevant_new", pa.array([0])))
    table = scored(("p", "s", "a", 0.1, 1)).append_column("is_new", pa.array([True]))
    with pytest.raises(ValueError, match="ours: some list has more new positives than `relevant_new`"):
        ranked(table, lists, "ours")


def test_a_popularity_is_a_share_above_zero() -> None:
    lists = Lists.from_table(relevant(("p", "s", 1)))
    with pytest.raises(ValueError, match="popularity: 1 of 2 popularities are no share above 0"):
        ranked(described(("p", "a", 0.1, "x", 0.0), ("p", "b", 0.2, "x", None)), lists, "popularity")


def test_cohorts_are_the_further_columns_of_text() -> None:
    table = relevant(("p", "s", 1), ("q", "s", 1), ("r", "s", 0), ("t", "s", 2)).append_column(
        "activity", pa.array(["new", None, "old", "new"])
    )
    cohorts = Lists.from_table(table.append_column("popularity", pa.array([0.1, 0.2, 0.3, 0.4]))).cohorts
    assert {name: members.tolist() for name, members in cohorts.items()} == {"activity: new": [True, False, True]}


def test_calibration_error_by_hand() -> None:
    scores = np.arange(1, 21) / 100  # ten bins of two
    labels = np.zeros(20)
    labels[-1] = 1
    gaps = [0.015, 0.035, 0.055, 0.075, 0.095, 0.115, 0.135, 0.155, 0.175, 0.5 - 0.195]
    assert calibration_error(labels, scores) == pytest.approx(sum(gaps) / 10)


def test_calibration_error_equals_scikit_learns_curve() -> None:
    random = np.random.default_rng(0)
    scores = random.beta(1, 20, size=5_000).astype(np.float32)
    labels = (random.random(5_000) < 1.5 * scores).astype(int)
    happened, predicted = calibration_curve(labels, scores, n_bins=10, strategy="quantile")
    assert calibration_error(labels, scores) == pytest.approx(np.abs(happened - predicted).mean(), rel=1e-4)
    assert calibration_error(labels, 1.5 * scores) < calibration_error(labels, scores) / 3


def test_auc_and_log_loss_equal_scikit_learn_with_ties() -> None:
    random = np.random.default_rng(0)
    labels = random.integers(2, size=500)
    scores = (random.integers(1, 20, size=500) / 20).astype(np.float32)
    assert auc(labels, scores) == pytest.approx(sklearn_metrics.roc_auc_score(labels, scores))
    assert log_loss(labels, scores) == pytest.approx(sklearn_metrics.log_loss(labels, scores.astype(float)))
    assert placements(labels, scores)[labels == 0].mean() == pytest.approx(auc(labels, scores))


def test_auc_of_one_class_is_not_a_number() -> None:
    assert np.isnan(auc(np.ones(3), np.arange(3.0)))
    assert np.isnan(auc(np.zeros(3), np.arange(3.0)))


def test_log_loss_of_certainty_is_finite() -> None:
    assert log_loss(np.array([0.0, 1.0]), np.array([1.0, 0.0])) == pytest.approx(15.94, abs=0.01)


def test_coverage_counts_distinct_items_of_the_top_twenty() -> None:
    lists = Lists.from_table(relevant(("p", "s", 1), ("q", "s", 1), ("q", "t", 1)))
    rows = [(person, "s", f"i{item:02}", -item, 0) for person in "pq" for item in range(25)] + [
        ("q", "t", "i00", 0.1, 0)
    ]
    assert coverage(ranked(scored(*rows), lists), lists, {"s": 40, "t": 10}) == {"all": 21 / 50, "s": 0.5, "t": 0.1}
    with pytest.raises(ValueError, match=r"catalogue sizes of \['t'\]"):
        coverage(ranked(scored(*rows), lists), lists, {"s": 40})


def test_a_platform_that_could_show_nothing_has_no_coverage() -> None:
    lists = Lists.from_table(relevant(("p", "s", 1), ("q", "t", 1)))
    shown = ranked(scored(("p", "s", "i1", 0.1, 0)), lists)
    assert coverage(shown, lists, {"s": 4}) == {"all": 0.25, "s": 0.25}
    assert coverage(ranked(scored(("p", "s", "i1", 0.1, 0)).slice(0, 0), lists), lists, {}) == {}


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([("p", "s", "a", float("nan"), 0)], "popularity: 1 of 1 scores are null, NaN or infinite"),
        ([("p", "s", "a", 0.1, 2)], "popularity: 1 of 1 labels are neither 0 nor 1"),
        ([("p", "s", "a", 0.1, 0), ("p", "s", "a", 0.2, 0)], "popularity: 1 rows repeat an item"),
        ([("p", "s", "a", 0.1, 1), ("p", "s", "b", 0.2, 1)], "more positives than `relevant`"),
    ],
)
def test_impossible_tables_are_refused(rows: list[tuple[str, str, str, float, int]], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ranked(scored(*rows), Lists.from_table(relevant(("p", "s", 1))), "popularity")


def test_nothing_to_find_is_an_error() -> None:
    with pytest.raises(ValueError, match="no person has a positive"):
        Lists.from_table(relevant(("p", "s", 0)))
    with pytest.raises(ValueError, match="1 rows repeat one"):
        Lists.from_table(relevant(("p", "s", 1), ("p", "s", 2)))
