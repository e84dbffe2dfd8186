"""Scores of given products: by hand, and the same however many persons are asked for."""

import numpy as np
import pyarrow as pa
import pytest

from ml import arrays
from ml.retrieval.scores import scores
from ml.retrieval.towers import DIMENSIONS, VECTORS


def interactions(*rows: tuple[str, str, float]) -> pa.Table:
    return pa.table(
        {name: [row[at] for row in rows] for at, name in enumerate(("person_id", "product_id", "age_days"))}
    )


SIMILAR = pa.table(
    {
        "generator": ["ease", "ease", "ease", "graph", "graph"],
        "product_id": ["a", "b", "b", "a", "b"],
        "neighbour_id": ["x", "x", "y", "x", "x"],
        "weight": [0.5, 0.25, 1.0, 0.4, 0.2],
    }
)


NO_VECTORS = VECTORS.empty_table()


def wanted(*pairs: tuple[str, str]) -> pa.Table:
    return pa.table({"person_id": [person for person, _ in pairs], "product_id": [product for _, product in pairs]})


def test_scores_add_up_over_all_interactions() -> None:
    """p1 has a today and b three days ago: by each half-life."""
    found = scores(
        wanted(("p1", "x"), ("p2", "x"), ("p1", "y"), ("p2", "y"), ("p1", "unheard of"), ("p3", "x")),
        interactions(("p1", "a", 0.0), ("p1", "b", 3.0), ("p2", "a", 60.0), ("p2", "nobody knows", 0.0)),
        SIMILAR,
        NO_VECTORS,
    ).to_pylist()
    fading = {days: 0.5 ** (3 / days) for days in (3, 14, 60)}
    assert [row["person_id"] + row["product_id"] for row in found] == [
        "p1x",
        "p2x",
        "p1y",
        "p2y",
        "p1unheard of",
        "p3x",
    ]
    assert [row["ease_3d"] for row in found] == pytest.approx([0.5 + 0.25 * 0.5, 0.5 * 0.5**20, 0.5, 0, 0, 0], abs=1e-8)
    assert [row["ease_14d"] for row in found[:3]] == pytest.approx(
        [0.5 + 0.25 * fading[14], 0.5 * 0.5 ** (60 / 14), fading[14]], abs=1e-8
    )
    assert [row["ease_60d"] for row in found[:3]] == pytest.approx(
        [0.5 + 0.25 * fading[60], 0.25, fading[60]], abs=1e-8
    )
    assert [row["graph_14d"] for row in found] == pytest.approx(
        [0.4 + 0.2 * fading[14], 0.4 * 0.5 ** (60 / 14), 0, 0, 0, 0], abs=1e-8
    )


def test_scores_of_many_people_are_those_of_each_alone(monkeypatch) -> None:
    """Persons are computed a few hundred at once."""
    monkeypatch.setattr(arrays, "CELLS_AT_ONCE", 1_000)
    rng = np.random.default_rng(5)
    known = [
        (f"p{n:04}", product, float(age))
        for n in range(1_100)
        for product, age in zip("ab", rng.integers(0, 90, 2), strict=True)
    ]
    pairs = [(f"p{n:04}", product) for n in rng.permutation(1_100) for product in "xy"]
    together = scores(wanted(*pairs), interactions(*known), SIMILAR, NO_VECTORS)
    for at in (0, 777, 2_199):
        person = pairs[at][0]
        alone = scores(
            wanted(pairs[at]), interactions(*(row for row in known if row[0] == person)), SIMILAR, NO_VECTORS
        )
        assert together.slice(at, 1).to_pylist() == alone.to_pylist()


def test_no_candidates_have_no_scores() -> None:
    empty = scores(wanted(("p", "x")).slice(0, 0), interactions(("p", "a", 0.0)).slice(0, 0), SIMILAR, NO_VECTORS)
    assert empty.num_rows == 0
    assert empty.schema == scores(wanted(("p", "x")), interactions(("p", "a", 0.0)), SIMILAR, NO_VECTORS).schema


def test_the_towers_score_is_how_well_two_vectors_fit_and_0_where_there_is_none() -> None:
    def vector(*entries: float) -> list[float]:
        return [*entries, *[0.0] * (DIMENSIONS - 2), 1.0]

    vectors = pa.table(
        {
            "kind": ["product", "product", "person"],
            "id": ["x", "y", "p1"],
            "vector": [vector(2, 0.5), [*vector(-2, 0.5)[:-1], -3.0], vector(1, 1)],
        },
        VECTORS,
    )
    pairs = wanted(("p1", "x"), ("p1", "y"), ("p1", "unheard of"), ("p2", "x"))
    found = scores(pairs, interactions(("p1", "a", 0.0)).slice(0, 0), SIMILAR.slice(0, 0), vectors)
    assert found["tower_score"].to_pylist() == pytest.approx(
        [1 / (1 + np.exp(-3.5)), 1 / (1 + np.exp(4.5)), 0, 0], abs=1e-8
    )
    assert found["ease_14d"].to_pylist() == [0] * 4
