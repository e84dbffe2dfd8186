"""ALS and BPR: two groups of people with two tastes, worked by hand."""

import numpy as np
import pyarrow as pa
import pytest
from threadpoolctl import threadpool_limits

from ml import arrays
from ml.evaluation import factorisation
from ml.evaluation.factorisation import LISTS, METHODS, Factors

# a hundred people chose four of a to e, a hundred chose four of v to z; each leaves out the next one
CRIME, DRAMA = "abcde", "vwxyz"
HISTORIES = [
    (f"{group} {number}", product, 1.0)
    for group, products in (("crime", CRIME), ("drama", DRAMA))
    for number in range(100)
    for product in products
    if product != products[number % 5]
]
OLD = [("returning", product, 200.0) for product in "ab"]
ITEMS = pa.table(
    {
        "platform": ["shop"] * 12 + ["stream"] * 2,
        "item_id": [*(f"shop {product}" for product in CRIME + DRAMA), "shop newest", "shop a2", "1", "2"],
        "product_id": [*CRIME, *DRAMA, "newest", "a", "e", "z"],
    }
)
NOTHING = pa.table({name: pa.array([], pa.string()) for name in ("person_id", "platform", "product_id")})


@pytest.fixture(params=[*METHODS])
def method(request) -> str:
    return request.param


def interactions(rows: list[tuple[str, str, float]]) -> pa.Table:
    return pa.table(dict(zip(("person_id", "product_id", "age_days"), map(list, zip(*rows, strict=True)), strict=True)))


def wanted(*persons: str, platform: str = "shop") -> pa.Table:
    return pa.table({"person_id": [*persons], "platform": [platform] * len(persons)})


def had(person: str, products: str, platform: str = "shop") -> pa.Table:
    rows = {"person_id": [person] * len(products), "platform": [platform] * len(products), "product_id": [*products]}
    return pa.table(rows)


def shown(lists: pa.Table, person: str) -> list[str]:
    return [row["item_id"] for row in lists.to_pylist() if row["person_id"] == person]


def test_what_those_of_the_same_taste_took_comes_first(method) -> None:
    factors = METHODS[method](interactions(HISTORIES), 1)
    consumed = pa.concat_tables([had("crime 0", "bcde"), had("drama 4", "vwxy")])
    lists = factors.lists(wanted("drama 4", "crime 0"), ITEMS, consumed)
    assert lists.schema == LISTS
    assert shown(lists, "crime 0")[0] == "shop a"
    assert shown(lists, "drama 4")[0] == "shop z"


def test_nothing_consumed_nothing_off_the_shelf_and_an_item_for_each_product(method) -> None:
    factors = METHODS[method](interactions(HISTORIES), 1)
    shelf = ITEMS.filter(pa.array([product != "v" for product in ITEMS["product_id"].to_pylist()]))
    lists = factors.lists(wanted("crime 0"), shelf, had("crime 0", "bcde"))
    assert sorted(shown(lists, "crime 0")) == ["shop a", "shop w", "shop x", "shop y", "shop z"]
    assert lists["score"].to_pylist() == sorted(lists["score"].to_pylist(), reverse=True)


def test_what_may_be_shown_again_on_one_platform_is_hidden_on_the_other(method) -> None:
    both = pa.concat_tables([wanted("crime 0"), wanted("crime 0", platform="stream")])
    lists = METHODS[method](interactions(HISTORIES), 1).lists(both, ITEMS, had("crime 0", "abcde", "stream"))
    assert {*shown(lists, "crime 0")} == {*(f"shop {product}" for product in CRIME + DRAMA), "2"}


def test_lists_of_many_people_are_those_of_all_at_once_however_large_the_catalogue(method, monkeypatch) -> None:
    """Ten of the shop's products and two of stream's were chosen: by forty cells at once, that is four lists and twenty."""
    factors = METHODS[method](interactions(HISTORIES), 1)
    people = [person for person, _, _ in HISTORIES[::40]]
    both = pa.concat_tables([wanted(*people), wanted(*people, platform="stream")])
    consumed = pa.concat_tables([had(person, "bcvw") for person in people[::2]] + [had(people[0], "e", "stream")] * 2)
    together = factors.lists(both, ITEMS, consumed)
    at_once: list[tuple[int, int]] = []
    rounded = factorisation._rounded
    monkeypatch.setattr(factorisation, "_rounded", lambda scores: at_once.append(scores.shape) or rounded(scores))
    for cells, shapes in ((40, {(4, 10), (20, 2)}), (1, {(1, 10), (1, 2)})):
        monkeypatch.setattr(arrays, "CELLS_AT_ONCE", cells)
        at_once.clear()
        assert factors.lists(both, ITEMS, consumed).equals(together)
        assert {*at_once} == shapes


def test_nobody_unknown_has_a_list(method) -> None:
    factors = METHODS[method](interactions(HISTORIES), 1)
    assert factors.lists(wanted("stranger"), ITEMS, NOTHING).num_rows == 0


def test_who_comes_back_after_long_has_a_list(method) -> None:
    factors = METHODS[method](interactions(HISTORIES + OLD), 1)
    assert len(shown(factors.lists(wanted("returning"), ITEMS, had("returning", "ab")), "returning")) == 8


def test_where_nobody_did_anything_lately_all_interactions_count(method) -> None:
    factors = METHODS[method](interactions([(person, product, 100.0) for person, product, _ in HISTORIES]), 1)
    assert shown(factors.lists(wanted("crime 0"), ITEMS, had("crime 0", "bcde")), "crime 0")[0] == "shop a"


def test_late_interactions_tell_more_than_early_ones(method) -> None:
    """Everybody chose what both groups chose; half chose lately what the others chose long ago."""
    histories = {f"to drama {number}": ("bcde", "wxyz") for number in range(5)}
    histories |= {f"to crime {number}": ("wxyz", "bcde") for number in range(5)}
    changed = [
        (person, product, age)
        for person, (early, late) in histories.items()
        for products, age in ((early, 60.0), (late, 0.0))
        for product in products
    ]
    factors = METHODS[method](interactions(HISTORIES + changed), 1)
    consumed = pa.concat_tables([had(person, early + late) for person, (early, late) in histories.items()])
    lists = factors.lists(wanted(*histories), ITEMS, consumed)
    first = {person: shown(lists, person)[0] for person in histories}
    assert first == {person: "shop v" if person.startswith("to drama") else "shop a" for person in histories}


def test_a_score_is_the_product_of_two_rows_and_the_least_where_one_is_unknown() -> None:
    factors = Factors(
        pa.array(["P1", "P2"]),
        pa.array(["A", "B"]),
        np.array([[1.0, 2.0], [0.0, -1.0]]),
        np.array([[3.0, 1.0], [0.5, 0.25]]),
    )
    pairs = pa.table({"person_id": ["P2", "P1", "P1", "P9", "P1"], "product_id": ["A", "A", "B", "A", "new"]})
    assert factors.scores(pairs).tolist() == [-1.0, 5.0, 1.0, -1.0, -1.0]
    assert factors.scores(pairs.slice(3)).tolist() == [0.0, 0.0]


def test_the_same_seed_gives_the_same_on_any_number_of_threads(method) -> None:
    again = METHODS[method](interactions(HISTORIES), 1)
    with threadpool_limits(2):
        first = METHODS[method](interactions(HISTORIES), 1)
    assert first.of_persons.tobytes() == again.of_persons.tobytes()
    assert first.of_products.tobytes() == again.of_products.tobytes()
    assert METHODS[method](interactions(HISTORIES), 2).of_products.tobytes() != again.of_products.tobytes()
