"""Retrieval: the best offers of each platform for each person, the same in any company."""

import numpy as np
import pyarrow as pa
import pytest

from ml import arrays
from ml.retrieval.item_similarity import SIMILARITIES
from ml.retrieval.retrieve import RETRIEVED, RETRIEVED_BY, retrieved
from ml.retrieval.towers import DIMENSIONS, VECTORS

SIMILAR = pa.table(
    {
        "generator": ["ease", "ease", "ease", "graph", "graph"],
        "product_id": ["a", "b", "b", "a", "b"],
        "neighbour_id": ["x", "x", "y", "x", "x"],
        "weight": [0.5, 0.25, 1.0, 0.4, 0.2],
    }
)
NO_VECTORS = VECTORS.empty_table()
KEPT = {"ease": 40, "graph": 100, "towers": 40}


def interactions(*rows: tuple[str, str, float]) -> pa.Table:
    return pa.table(
        {name: [row[at] for row in rows] for at, name in enumerate(("person_id", "product_id", "age_days"))}
    )


def on_platforms(key: str, name: str, *rows: tuple[str, str]) -> pa.Table:
    """Pairs or offers ("platform", "id"), with keys in another order than the rows."""
    keys = pa.array(range(len(rows), 0, -1), pa.int64())
    return pa.table([keys, *map(pa.array, zip(*rows, strict=True))], [key, "platform", name])


def pairs(*rows: tuple[str, str]) -> pa.Table:
    return on_platforms("pair_id", "person_id", *rows)


def offers(*rows: tuple[str, str]) -> pa.Table:
    return on_platforms("offer_id", "product_id", *rows)


def named(found: pa.Table, pairs: pa.Table, offers: pa.Table) -> list[tuple[str, str, str, str]]:
    """Generator, person, platform and product of each row; a pair meets offers of its own platform alone."""
    assert found.schema == RETRIEVED
    by_pair = {row["pair_id"]: row for row in pairs.to_pylist()}
    by_offer = {row["offer_id"]: row for row in offers.to_pylist()}
    rows = [(row["generator"], by_pair[row["pair_id"]], by_offer[row["offer_id"]]) for row in found.to_pylist()]
    assert all(pair["platform"] == offer["platform"] for _, pair, offer in rows)
    return [(generator, pair["person_id"], pair["platform"], offer["product_id"]) for generator, pair, offer in rows]


def test_each_platform_gets_the_best_of_what_it_offers_and_the_person_does_not_know() -> None:
    """p1 has a, b and, on another platform, y. p2 has nothing with similar items."""
    wanted = pairs(("shop", "p1"), ("stream", "p1"), ("shop", "p2"))
    offered = offers(("shop", "a"), ("shop", "x"), ("shop", "y"), ("stream", "b"), ("stream", "z"))
    known = interactions(("p1", "a", 0.0), ("p1", "b", 14.0), ("p1", "y", 90.0), ("p2", "y", 0.0))
    found = retrieved(wanted, offered, known, SIMILAR, NO_VECTORS, KEPT)
    assert named(found, wanted, offered) == [("ease", "p1", "shop", "x"), ("graph", "p1", "shop", "x")]
    assert found["score"].to_pylist() == pytest.approx([0.5 + 0.25 / 2, 0.4 + 0.2 / 2])


def test_of_equal_scores_at_the_end_of_a_list_the_first_products_are_kept() -> None:
    weights = {"d": 0.5, "c": 0.25, "b": 0.25, "a": 0.25}
    similar = pa.table(
        {
            "generator": ["ease"] * 4,
            "product_id": ["known"] * 4,
            "neighbour_id": [*weights],
            "weight": [*weights.values()],
        }
    )
    wanted, offered = pairs(("shop", "p1")), offers(*(("shop", product) for product in weights))
    found = retrieved(wanted, offered, interactions(("p1", "known", 0.0)), similar, NO_VECTORS, {"ease": 2})
    assert [product for *_, product in named(found, wanted, offered)] == ["d", "a"]


def test_what_is_retrieved_does_not_depend_on_who_else_is_asked_for(monkeypatch) -> None:
    rng = np.random.default_rng(8)
    drawn = np.unique(rng.integers([30, 12], size=(150, 2)), axis=0)
    known = interactions(*((f"p{a:02}", f"i{b:02}", float(a)) for a, b in drawn))
    similar = pa.concat_tables(
        table.add_column(0, "generator", pa.repeat(name, table.num_rows))
        for name, table in ((name, similarity(known)) for name, similarity in SIMILARITIES.items())
    )
    wanted = pairs(*(("shop", f"p{a:02}") for a in range(30)))
    offered = offers(*(("shop", f"i{b:02}") for b in range(12)))
    together = retrieved(wanted, offered, known, similar, NO_VECTORS, KEPT)
    monkeypatch.setattr(arrays, "CELLS_AT_ONCE", 1)
    order = [(name, "ascending") for name in together.column_names]
    alone = retrieved(wanted, offered, known, similar, NO_VECTORS, KEPT)
    assert alone.sort_by(order).equals(together.sort_by(order))
    assert {person for _, person, _, _ in named(together, wanted, offered)} > {"p00", "p29"}


def test_the_towers_retrieve_by_how_well_vectors_fit() -> None:
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
    wanted, offered = pairs(("shop", "p1"), ("shop", "p2")), offers(("shop", "x"), ("shop", "y"), ("shop", "z"))
    found = retrieved(wanted, offered, interactions(("p1", "z", 0.0)), SIMILAR.slice(0, 0), vectors, KEPT)
    assert named(found, wanted, offered) == [("towers", "p1", "shop", "x"), ("towers", "p1", "shop", "y")]


def test_a_generator_that_is_not_kept_retrieves_nothing() -> None:
    wanted, offered, known = pairs(("shop", "p1")), offers(("shop", "x")), interactions(("p1", "a", 0.0))
    found = retrieved(wanted, offered, known, SIMILAR, NO_VECTORS, {"graph": 1})
    assert [generator for generator, *_ in named(found, wanted, offered)] == ["graph"]
    assert {*KEPT} == {*RETRIEVED_BY}
