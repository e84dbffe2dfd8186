"""The two towers: they tell tastes apart, also for products without interactions, and give the same vectors for the same interactions."""

import tracemalloc

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from ml.retrieval import towers as module
from ml.retrieval.towers import DIMENSIONS, VECTORS, towers

CATEGORIES = ("crime", "comedy")
WEIGHTS = ("content", "key", "turn", "age")
PERSONS = pa.array([f"{category} {n:02}" for category in CATEGORIES for n in range(40)])


def catalogue() -> pa.Table:
    """Ten films of each of two categories, and one more of each without interactions."""
    rows = [
        {"product_id": f"{category} film {n}", "title": f"Number {n}", "categories": category, "price": 3.0 + n}
        for category in CATEGORIES
        for n in range(11)
    ]
    columns = ("product_id", "title", "description", "creators", "categories")
    schema = pa.schema(
        [*((name, pa.string()) for name in columns), ("release_year", pa.int32()), ("price", pa.float64())]
    )
    return pa.Table.from_pylist(rows, schema)


def tastes() -> pa.Table:
    """Forty people for each category, each with six of its ten films."""
    draws = np.random.default_rng(1)
    rows = [
        {"person_id": person, "product_id": f"{person.split()[0]} film {film}", "age_days": float(age)}
        for person in PERSONS.to_pylist()
        for age, film in enumerate(draws.permutation(10)[:6])
    ]
    return pa.Table.from_pylist(rows)


def fits(vectors: pa.Table) -> tuple[list[str], list[str], np.ndarray]:
    persons, products = (vectors.filter(pc.equal(vectors["kind"], kind)) for kind in ("person", "product"))
    of_persons, of_products = (np.stack(table["vector"].to_pylist()) for table in (persons, products))
    return persons["id"].to_pylist(), products["id"].to_pylist(), of_persons @ of_products.T


def test_a_text_costs_its_own_length() -> None:
    """As numpy's text, 44 titles of which one has a million characters would take 170 MB."""
    products = pa.concat_tables([catalogue()] * 2)
    titles = ["t" * 1_000_000, *products["title"].to_pylist()[1:]]
    long = products.set_column(products.column_names.index("title"), "title", pa.array(titles))
    tracemalloc.start()
    tokens = module._tokens(long)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 20e6
    assert tokens[1:].to_list() == module._tokens(products)[1:].to_list()


@pytest.fixture(scope="module")
def learned() -> pa.Table:
    return towers(tastes(), catalogue(), PERSONS)


def test_people_fit_products_of_people_like_them(learned) -> None:
    persons, products, found = fits(learned)
    own = np.array([[person.split()[0] == product.split()[0] for product in products] for person in persons])
    known = np.array([not product.endswith("film 10") for product in products])
    assert found[:, known][own[:, known]].min() > found[:, known][~own[:, known]].max()


def test_a_product_without_interactions_fits_by_its_content(learned) -> None:
    persons, products, found = fits(learned)
    crime, comedy = (found[:, products.index(f"{category} film 10")] for category in CATEGORIES)
    is_crime = np.array([person.startswith("crime") for person in persons])
    assert (crime[is_crime] > comedy[is_crime]).all()
    assert (crime[~is_crime] < comedy[~is_crime]).all()


def test_vectors_come_by_kind_and_id_whatever_the_order_of_rows(monkeypatch) -> None:
    monkeypatch.setattr(module, "EXAMPLES", 1_024)
    interactions, products = tastes(), catalogue()
    shuffled = np.random.default_rng(2).permutation
    once = towers(interactions, products, PERSONS)
    again = towers(
        interactions.take(shuffled(interactions.num_rows)),
        products.take(shuffled(products.num_rows)),
        PERSONS.take(shuffled(len(PERSONS))),
    )
    assert once.schema == VECTORS
    assert once.equals(again)
    assert once["id"].to_pylist()[:102] == [
        *sorted(catalogue()["product_id"].to_pylist()),
        *sorted(PERSONS.to_pylist()),
    ]
    assert np.isfinite(np.stack(once["vector"].to_pylist())).all()
    kinds = once["kind"].to_pylist()
    assert (kinds.count("product"), kinds.count("person")) == (22, 80)


def test_a_vector_does_not_depend_on_who_else_is_asked_for(learned) -> None:
    """A person without interactions has none."""
    found = towers(tastes(), catalogue(), pa.array(["crime 00", "no interaction"]))
    alone = found.filter(pc.equal(found["kind"], "person"))
    assert alone.equals(learned.filter(pc.equal(learned["id"], "crime 00")))
    assert found.filter(pc.equal(found["kind"], "person"))["id"].to_pylist() == ["crime 00"]


def test_nothing_is_learned_where_nobody_has_two_interactions() -> None:
    alone = tastes().filter(pc.equal(tastes()["age_days"], 0.0))
    assert towers(alone, catalogue(), PERSONS).equals(VECTORS.empty_table())
    assert towers(tastes().slice(0, 0), catalogue(), PERSONS).num_rows == 0


def test_a_product_about_which_nothing_is_known_has_a_vector() -> None:
    unknown = {"product_id": "zzz", "title": "!!!"}
    products = pa.concat_tables([catalogue(), pa.Table.from_pylist([unknown], catalogue().schema)])
    found = towers(tastes(), products, PERSONS)
    assert "zzz" in found["id"].to_pylist()
    assert np.isfinite(np.stack(found["vector"].to_pylist())).all()


def test_words_of_any_script_count_and_what_is_unknown_does_not() -> None:
    def row(title: str | None, categories: str | None = None, price: float | None = None) -> dict[str, object]:
        return {"product_id": "a", "title": title, "categories": categories, "price": price}

    rows = [
        row("Søndags-Engler"),
        row("søndags  engler!"),
        row("Sondags Engler"),
        row(None),
        row(None, "crime", 3.5),
        row(None, "crime", 2),
        row("Søndags") | {"description": "engler"},
        row(None, price=float("inf")),
        row(None, price=float("nan")),
        row(None, price=-1.0),
    ]
    tokens = module._tokens(pa.Table.from_pylist(rows, catalogue().schema)).to_list()
    assert tokens[0] == tokens[1] != tokens[2]
    assert [len(words) for words in tokens] == [2, 2, 2, 1, 2, 2, 2, 1, 1, 1]
    assert tokens[3] == tokens[7] == tokens[8] != tokens[9]
    assert tokens[4] == tokens[5]  # both cost between two and four
    assert tokens[6] == tokens[0]  # where a word stands does not matter


def test_a_vector_has_one_more_entry_for_the_popularity_of_a_product(learned) -> None:
    assert learned["vector"].type == pa.list_(pa.float32(), DIMENSIONS + 1)
    persons = learned.filter(pc.equal(learned["kind"], "person"))
    assert {vector[-1] for vector in persons["vector"].to_pylist()} == {1.0}
    products = dict(zip(learned["id"].to_pylist(), learned["vector"].to_pylist(), strict=True))
    assert products["crime film 0"][-1] > products["crime film 10"][-1]


def test_the_weights_encode_a_person_as_the_towers_did(learned) -> None:
    """From products' vectors, attention and the matrix alone, as whoever loads a registered version would."""
    rows = {kind: np.stack(learned.filter(pc.equal(learned["kind"], kind))["vector"].to_pylist()) for kind in WEIGHTS}
    products = learned.filter(pc.equal(learned["kind"], "product"))
    vectors = dict(zip(products["id"].to_pylist(), np.stack(products["vector"].to_pylist()), strict=True))
    own = tastes().filter(pc.equal(tastes()["person_id"], "crime 00")).to_pylist()
    known = np.stack([vectors[row["product_id"]][:DIMENSIONS] for row in own])
    steps = np.minimum(2.5 * np.log1p([row["age_days"] for row in own]), module.AGE_STEPS - 1).astype(int)
    attention = np.exp(known @ rows["key"][0, :DIMENSIONS] + rows["age"][steps, 0])
    expected = attention / attention.sum() @ known @ rows["turn"][:, :DIMENSIONS]
    [found] = learned.filter(pc.equal(learned["id"], "crime 00"))["vector"].to_pylist()
    assert found[:DIMENSIONS] == pytest.approx(expected, abs=1e-5)
    assert rows["content"].shape == (module.TOKEN_ROWS, DIMENSIONS + 1)
