from math import log2

import numpy as np
import pyarrow as pa
import pytest
from sklearn import metrics as sklearn_metrics

from ml.evaluation.metrics import Lists, auc, by_list, coverage, log_loss, placements, ranked


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


def test_ranks_below_the_cut_do_not_count() -> None:
    lists = Lists.from_table(relevant(("p", "s", 2)))
    rows = [("p", "s", f"i{rank:02}", 1.0 - rank / 100, int(rank in (11, 21))) for rank in range(1, 31)]
    values = by_list(ranked(scored(*rows), lists), lists)
    assert values["ndcg_at_10"].tolist() == [0]
    assert values["recall_at_20"].tolist() == [0.5]
    assert values["mrr"] == pytest.approx([1 / 11])


def test_equal_scores_are_ordered_by_item_id() -> None:
    lists = Lists.from_table(relevant(("p", "s", 1)))
    values = by_list(ranked(scored(("p", "s", "b", 0.5, 1), ("p", "s", "a", 0.5, 0)), lists), lists)
    assert values["mrr"].tolist() == [0.5]


def test_ndcg_equals_scikit_learn() -> None:
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
    expected = [sklearn_metrics.ndcg_score([labels[p]], [scores[p]], k=10) for p in range(40)]
    assert by_list(ranked(scored(*rows), lists), lists)["ndcg_at_10"] == pytest.approx(expected)


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
