"""EASE and the walk over the graph: weights by hand, fading histories, what stays of them, and the scores they add up to."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from ml import arrays
from ml.retrieval import scores as retrieval
from ml.retrieval.scores import EASE_KEPT, GENERATORS, GRAPH_KEPT, ease, graph, proposals, scores
from ml.retrieval.towers import DIMENSIONS, VECTORS


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


def test_a_walk_goes_to_who_took_the_product_and_on_to_what_else_they_took() -> None:
    """p1 took a and b, p2 took b and c, c a week ago: by hand, each pair over what its person and its products have and one more."""
    found = weights(graph(takes(("p1", "a", 0), ("p1", "b", 0), ("p2", "b", 0), ("p2", "c", 7.0))))
    by_p1, by_p2 = 3**-1.5, 0.5 * 2.5**-1.5
    a, b, c = 2**-0.5, 3**-0.5, 1.5**-0.5
    assert found == pytest.approx(
        {("a", "b"): by_p1 * a * b, ("b", "a"): by_p1 * a * b, ("b", "c"): by_p2 * b * c, ("c", "b"): by_p2 * b * c},
        abs=1e-6,
    )


def test_whoever_takes_much_says_less_of_each() -> None:
    """Of two products that were each taken together with `a` once, one by somebody with twenty other takes."""
    rows = [("p1", "a", 0.0), ("p1", "by a few", 0.0), ("p2", "a", 0.0), ("p2", "by many", 0.0)]
    rows += [("p2", f"other {n}", 0.0) for n in range(20)]
    found = weights(graph(takes(*rows)))
    assert found["a", "by a few"] > 10 * found["a", "by many"]


def test_what_was_taken_long_ago_leads_nowhere_much() -> None:
    """Without the one that is added, two products taken together years ago, and never since, would weigh the more the older."""
    rows = [("p1", "a", 0.0), ("p1", "b", 0.0), ("p2", "old", 700.0), ("p2", "older", 700.0)]
    found = weights(graph(takes(*rows)))
    assert found["a", "b"] > 0.05
    assert ("old", "older") not in found


@pytest.mark.parametrize("leads_of", GENERATORS.values(), ids=list(GENERATORS))
def test_rows_are_in_order_and_positions_count_from_one(leads_of) -> None:
    rng = np.random.default_rng(3)
    pairs = np.unique(rng.integers([40, 12], size=(200, 2)), axis=0)
    table = leads_of(takes(*((f"p{a}", f"i{b:02}", float(a)) for a, b in pairs)))
    assert table.equals(table.sort_by([("product_id", "ascending"), ("position", "ascending")]))
    for product in {*table["product_id"].to_pylist()}:
        own = table.filter(pc.equal(table["product_id"], product))
        assert own["position"].to_pylist() == [*range(1, own.num_rows + 1)]
        assert own["weight"].to_pylist() == sorted(own["weight"].to_pylist(), reverse=True)
        assert product not in own["neighbour_id"].to_pylist()
    assert pc.min(table["weight"]).as_py() > 0


@pytest.mark.parametrize("leads_of", GENERATORS.values(), ids=list(GENERATORS))
def test_the_same_takes_in_another_order_give_the_same_rows(leads_of) -> None:
    rows = [("p1", "b", 1.0), ("p1", "a", 2.0), ("p2", "c", 0.0), ("p2", "a", 3.0), ("p3", "b", 0.5), ("p3", "c", 9.0)]
    assert leads_of(takes(*rows)).equals(leads_of(takes(*reversed(rows))))


@pytest.mark.parametrize("leads_of", GENERATORS.values(), ids=list(GENERATORS))
def test_of_a_large_catalogue_what_is_taken_most_takes_part(leads_of) -> None:
    rows = [(f"p{n}", product, 0.0) for n in range(5) for product in ("a", "b")] + [("p0", "c", 0.0)]
    assert {*leads_of(takes(*rows), most_products=2)["product_id"].to_pylist()} == {"a", "b"}


@pytest.mark.parametrize("leads_of", GENERATORS.values(), ids=list(GENERATORS))
def test_one_product_leads_nowhere_and_none_does_neither(leads_of) -> None:
    alone = leads_of(takes(("p1", "a", 0.0)))
    empty = takes(("p1", "a", 0.0)).slice(0, 0)
    assert alone.num_rows == 0
    assert leads_of(empty).schema == alone.schema == leads_of(takes(("p1", "a", 0.0), ("p1", "b", 0.0))).schema


@pytest.mark.parametrize(("leads_of", "kept"), [(ease, EASE_KEPT), (graph, GRAPH_KEPT)])
def test_of_each_product_only_the_strongest_stay(leads_of, kept) -> None:
    rows = [(f"p{n}", "a", 0.0) for n in range(kept + 10)] + [(f"p{n}", f"i{n}", 0.0) for n in range(kept + 10)]
    own = leads_of(takes(*rows))
    assert own.filter(pc.equal(own["product_id"], "a")).num_rows == kept


LEADS = pa.table(
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


def test_scores_add_up_what_all_takes_say_for_a_product() -> None:
    """p1 took a today and b three days ago: by each half-life."""
    found = scores(
        wanted(("p1", "x"), ("p2", "x"), ("p1", "y"), ("p2", "y"), ("p1", "unheard of"), ("p3", "x")),
        takes(("p1", "a", 0.0), ("p1", "b", 3.0), ("p2", "a", 60.0), ("p2", "nobody knows", 0.0)),
        LEADS,
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
    """People are taken a few hundred at once."""
    monkeypatch.setattr(arrays, "CELLS_AT_ONCE", 1_000)
    rng = np.random.default_rng(5)
    known = [
        (f"p{n:04}", product, float(age))
        for n in range(1_100)
        for product, age in zip("ab", rng.integers(0, 90, 2), strict=True)
    ]
    pairs = [(f"p{n:04}", product) for n in rng.permutation(1_100) for product in "xy"]
    together = scores(wanted(*pairs), takes(*known), LEADS, NO_VECTORS)
    for at in (0, 777, 2_199):
        person = pairs[at][0]
        alone = scores(wanted(pairs[at]), takes(*(take for take in known if take[0] == person)), LEADS, NO_VECTORS)
        assert together.slice(at, 1).to_pylist() == alone.to_pylist()


def test_no_candidates_have_no_scores() -> None:
    empty = scores(wanted(("p", "x")).slice(0, 0), takes(("p", "a", 0.0)).slice(0, 0), LEADS, NO_VECTORS)
    assert empty.num_rows == 0
    assert empty.schema == scores(wanted(("p", "x")), takes(("p", "a", 0.0)), LEADS, NO_VECTORS).schema


def on_platforms(name: str, *pairs: tuple[str, str]) -> pa.Table:
    table = pa.table({"platform": [platform for platform, _ in pairs], name: [value for _, value in pairs]})
    return table.select(["platform", name])


def proposed(table: pa.Table) -> list[tuple[str, ...]]:
    return [
        tuple(row[name] for name in ("generator", "person_id", "platform", "product_id")) for row in table.to_pylist()
    ]


def test_each_platform_is_offered_the_best_of_what_it_has_and_the_person_did_not_take() -> None:
    """p1 took a, b and, on another platform, y; p2 took nothing that leads anywhere."""
    found = proposals(
        on_platforms("person_id", ("shop", "p1"), ("stream", "p1"), ("shop", "p2")),
        on_platforms("product_id", ("shop", "a"), ("shop", "x"), ("shop", "y"), ("stream", "b"), ("stream", "z")),
        takes(("p1", "a", 0.0), ("p1", "b", 14.0), ("p1", "y", 90.0), ("p2", "y", 0.0)),
        LEADS,
        NO_VECTORS,
    )
    assert proposed(found) == [("ease", "p1", "shop", "x"), ("graph", "p1", "shop", "x")]
    assert found["score"].to_pylist() == pytest.approx([0.5 + 0.25 / 2, 0.4 + 0.2 / 2])


def test_of_equal_scores_at_the_end_of_a_list_the_first_products_stay(monkeypatch) -> None:
    monkeypatch.setattr(retrieval, "PROPOSALS", {"ease": ("ease_14d", 2)})
    weights = {"d": 0.5, "c": 0.25, "b": 0.25, "a": 0.25}
    leads = pa.table(
        {
            "generator": ["ease"] * 4,
            "product_id": ["taken"] * 4,
            "neighbour_id": [*weights],
            "weight": [*weights.values()],
        }
    )
    offers = on_platforms("product_id", *(("shop", product) for product in weights))
    found = proposals(on_platforms("person_id", ("shop", "p1")), offers, takes(("p1", "taken", 0.0)), leads, NO_VECTORS)
    assert found["product_id"].to_pylist() == ["d", "a"]


def test_proposals_do_not_depend_on_who_is_asked_for_beside(monkeypatch) -> None:
    rng = np.random.default_rng(8)
    pairs = np.unique(rng.integers([30, 12], size=(150, 2)), axis=0)
    known = takes(*((f"p{a:02}", f"i{b:02}", float(a)) for a, b in pairs))
    leads = pa.concat_tables(
        table.add_column(0, "generator", pa.repeat(name, table.num_rows))
        for name, table in ((name, leads_of(known)) for name, leads_of in GENERATORS.items())
    )
    people = on_platforms("person_id", *(("shop", f"p{a:02}") for a in range(30)))
    offers = on_platforms("product_id", *(("shop", f"i{b:02}") for b in range(12)))
    together = proposals(people, offers, known, leads, NO_VECTORS)
    monkeypatch.setattr(arrays, "CELLS_AT_ONCE", 1)
    order = [(name, "ascending") for name in together.column_names]
    assert proposals(people, offers, known, leads, NO_VECTORS).sort_by(order).equals(together.sort_by(order))
    assert {*together["person_id"].to_pylist()} > {"p00", "p29"}


def test_the_towers_say_how_well_two_vectors_fit_and_nothing_where_there_is_none() -> None:
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
    found = scores(pairs, takes(("p1", "a", 0.0)).slice(0, 0), LEADS.slice(0, 0), vectors)
    assert found["tower_score"].to_pylist() == pytest.approx(
        [1 / (1 + np.exp(-3.5)), 1 / (1 + np.exp(4.5)), 0, 0], abs=1e-8
    )
    assert found["ease_14d"].to_pylist() == [0] * 4
    offers = on_platforms("product_id", ("shop", "x"), ("shop", "y"), ("shop", "z"))
    best = proposals(
        on_platforms("person_id", ("shop", "p1"), ("shop", "p2")),
        offers,
        takes(("p1", "z", 0.0)),
        LEADS.slice(0, 0),
        vectors,
    )
    assert proposed(best) == [("towers", "p1", "shop", "x"), ("towers", "p1", "shop", "y")]
