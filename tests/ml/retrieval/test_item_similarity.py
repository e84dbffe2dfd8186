"""EASE and the walk over the graph: weights computed by hand, fading histories, and which weights are kept."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from ml.retrieval.item_similarity import EASE_KEPT, GRAPH_KEPT, SIMILARITIES, ease, graph


def interactions(*rows: tuple[str, str, float]) -> pa.Table:
    return pa.table(
        {name: [row[at] for row in rows] for at, name in enumerate(("person_id", "product_id", "age_days"))}
    )


def weights(table: pa.Table) -> dict[tuple[str, str], float]:
    return {(row["product_id"], row["neighbour_id"]): row["weight"] for row in table.to_pylist()}


def test_weights_are_those_of_the_closed_form() -> None:
    """Steck's equation 8 with numbers: two persons have a and b, one has b and c."""
    found = ease(
        interactions(("p1", "a", 0), ("p1", "b", 0), ("p2", "a", 0), ("p2", "b", 0), ("p3", "b", 0), ("p3", "c", 0)),
        l2=1.0,
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
    assert ("a", "c") not in weights(found)  # negative: persons of a have b rather than c


def test_an_interaction_has_half_its_weight_after_its_half_life() -> None:
    halved = ease(interactions(("p1", "a", 0), ("p1", "b", 14.0)), l2=1.0)
    inverse = np.linalg.inv(np.array([[2.0, 0.5], [0.5, 1.25]]))
    assert weights(halved)["a", "b"] == pytest.approx(-inverse[0, 1] / inverse[1, 1], abs=1e-6)


def test_a_walk_goes_to_persons_of_the_product_and_on_to_their_other_products() -> None:
    """p1 has a and b, p2 has b and c, c a week ago. By hand: each step is divided by 1 and the weights of its person and product."""
    found = weights(graph(interactions(("p1", "a", 0), ("p1", "b", 0), ("p2", "b", 0), ("p2", "c", 7.0))))
    by_p1, by_p2 = 3**-1.5, 0.5 * 2.5**-1.5
    a, b, c = 2**-0.5, 3**-0.5, 1.5**-0.5
    assert found == pytest.approx(
        {("a", "b"): by_p1 * a * b, ("b", "a"): by_p1 * a * b, ("b", "c"): by_p2 * b * c, ("c", "b"): by_p2 * b * c},
        abs=1e-6,
    )


def test_a_person_with_many_products_counts_less_for_each() -> None:
    """Two products each share one person with `a`. One of these persons has twenty other products."""
    rows = [("p1", "a", 0.0), ("p1", "by a few", 0.0), ("p2", "a", 0.0), ("p2", "by many", 0.0)]
    rows += [("p2", f"other {n}", 0.0) for n in range(20)]
    found = weights(graph(interactions(*rows)))
    assert found["a", "by a few"] > 10 * found["a", "by many"]


def test_old_interactions_make_no_similar_items() -> None:
    """Without the 1 that is added, two products that only one person had years ago would weigh more the older they are."""
    rows = [("p1", "a", 0.0), ("p1", "b", 0.0), ("p2", "old", 700.0), ("p2", "older", 700.0)]
    found = weights(graph(interactions(*rows)))
    assert found["a", "b"] > 0.05
    assert ("old", "older") not in found


@pytest.mark.parametrize("similarity", SIMILARITIES.values(), ids=list(SIMILARITIES))
def test_rows_are_in_order_and_positions_count_from_one(similarity) -> None:
    rng = np.random.default_rng(3)
    pairs = np.unique(rng.integers([40, 12], size=(200, 2)), axis=0)
    table = similarity(interactions(*((f"p{a}", f"i{b:02}", float(a)) for a, b in pairs)))
    assert table.equals(table.sort_by([("product_id", "ascending"), ("position", "ascending")]))
    for product in {*table["product_id"].to_pylist()}:
        own = table.filter(pc.equal(table["product_id"], product))
        assert own["position"].to_pylist() == [*range(1, own.num_rows + 1)]
        assert own["weight"].to_pylist() == sorted(own["weight"].to_pylist(), reverse=True)
        assert product not in own["neighbour_id"].to_pylist()
    assert pc.min(table["weight"]).as_py() > 0


@pytest.mark.parametrize("similarity", SIMILARITIES.values(), ids=list(SIMILARITIES))
def test_the_same_interactions_in_another_order_give_the_same_rows(similarity) -> None:
    rows = [("p1", "b", 1.0), ("p1", "a", 2.0), ("p2", "c", 0.0), ("p2", "a", 3.0), ("p3", "b", 0.5), ("p3", "c", 9.0)]
    assert similarity(interactions(*rows)).equals(similarity(interactions(*reversed(rows))))


@pytest.mark.parametrize("similarity", SIMILARITIES.values(), ids=list(SIMILARITIES))
def test_of_a_large_catalogue_the_products_with_most_interactions_are_used(similarity) -> None:
    rows = [(f"p{n}", product, 0.0) for n in range(5) for product in ("a", "b")] + [("p0", "c", 0.0)]
    assert {*similarity(interactions(*rows), most_products=2)["product_id"].to_pylist()} == {"a", "b"}


@pytest.mark.parametrize("similarity", SIMILARITIES.values(), ids=list(SIMILARITIES))
def test_one_product_has_no_similar_items_and_none_has_neither(similarity) -> None:
    alone = similarity(interactions(("p1", "a", 0.0)))
    empty = interactions(("p1", "a", 0.0)).slice(0, 0)
    assert alone.num_rows == 0
    assert (
        similarity(empty).schema == alone.schema == similarity(interactions(("p1", "a", 0.0), ("p1", "b", 0.0))).schema
    )


@pytest.mark.parametrize(("similarity", "kept"), [(ease, EASE_KEPT), (graph, GRAPH_KEPT)])
def test_of_each_product_only_the_strongest_stay(similarity, kept) -> None:
    rows = [(f"p{n}", "a", 0.0) for n in range(kept + 10)] + [(f"p{n}", f"i{n}", 0.0) for n in range(kept + 10)]
    own = similarity(interactions(*rows))
    assert own.filter(pc.equal(own["product_id"], "a")).num_rows == kept
