"""EASE: weights by hand, fading histories, and what stays of them."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from ml.ranking.retrieval import ease


def takes(*rows: tuple[str, str, float]) -> pa.Table:
    return pa.table(
        {name: [row[at] for row in rows] for at, name in enumerate(("person_id", "product_id", "age_days"))}
    )


def weights(table: pa.Table) -> dict[tuple[str, str], float]:
    return {(row["product_id"], row["neighbour_id"]): row["weight"] for row in table.to_pylist()}


def test_weights_are_those_of_the_closed_form() -> None:
    """Steck's equation 8 with numbers: two persons took a and b, one took b and c."""
    found = ease(
        takes(("p1", "a", 0), ("p1", "b", 0), ("p2", "a", 0), ("p2", "b", 0), ("p3", "b", 0), ("p3", "c", 0)), l2=1.0
    )
    inverse = np.linalg.inv(np.array([[3.0, 2, 0], [2, 4, 1], [0, 1, 2]]))
    expected = -inverse / np.diag(inverse)
    assert weights(found) == pytest.approx(
        {
            ("a", "b"): expected[0, 1],
            ("b", "a"): expected[1, 0],
            ("b", "c"): expected[1, 2],
            ("c", "b"): expected[2, 1],
        },
        abs=1e-6,
    )
    assert ("a", "c") not in weights(found)  # negative: who takes a takes b rather than c


def test_an_old_take_counts_half_after_its_half_life() -> None:
    halved = ease(takes(("p1", "a", 0), ("p1", "b", 14.0)), l2=1.0)
    inverse = np.linalg.inv(np.array([[2.0, 0.5], [0.5, 1.25]]))
    assert weights(halved)["a", "b"] == pytest.approx(-inverse[0, 1] / inverse[1, 1], abs=1e-6)


def test_rows_are_in_order_and_positions_count_from_one() -> None:
    rng = np.random.default_rng(3)
    pairs = np.unique(rng.integers([40, 12], size=(200, 2)), axis=0)
    table = ease(takes(*((f"p{a}", f"i{b:02}", float(a)) for a, b in pairs)))
    assert table.equals(table.sort_by([("product_id", "ascending"), ("position", "ascending")]))
    for product in {*table["product_id"].to_pylist()}:
        own = table.filter(pc.equal(table["product_id"], product))
        assert own["position"].to_pylist() == [*range(1, own.num_rows + 1)]
        assert own["weight"].to_pylist() == sorted(own["weight"].to_pylist(), reverse=True)
        assert product not in own["neighbour_id"].to_pylist()
    assert pc.min(table["weight"]).as_py() > 0


def test_the_same_takes_in_another_order_give_the_same_rows() -> None:
    rows = [("p1", "b", 1.0), ("p1", "a", 2.0), ("p2", "c", 0.0), ("p2", "a", 3.0), ("p3", "b", 0.5), ("p3", "c", 9.0)]
    assert ease(takes(*rows)).equals(ease(takes(*reversed(rows))))


def test_of_a_large_catalogue_what_is_taken_most_takes_part() -> None:
    rows = [(f"p{n}", product, 0.0) for n in range(5) for product in ("a", "b")] + [("p0", "c", 0.0)]
    assert {*ease(takes(*rows), most_products=2)["product_id"].to_pylist()} == {"a", "b"}


def test_one_product_leads_nowhere_and_none_does_neither() -> None:
    alone = ease(takes(("p1", "a", 0.0)))
    empty = takes(("p1", "a", 0.0)).slice(0, 0)
    assert alone.num_rows == 0
    assert ease(empty).schema == alone.schema == ease(takes(("p1", "a", 0.0), ("p1", "b", 0.0))).schema
