"""Who is linked to whom, and by what; expected edges are written out."""

import pandas as pd
import pyarrow as pa
import pytest

from ml.identity.edges import (
    EDGE_SCHEMA,
    equal_value_edges,
    normalised_title,
    overshared_values,
    person_edges,
    product_edges,
)


def accounts(*rows: tuple[str, str, str | None, str | None]) -> pa.Table:
    names = ["platform", "id", "email_token", "phone_token"]
    return pa.table({name: pa.array([row[i] for row in rows], pa.string()) for i, name in enumerate(names)})


def items(*rows: tuple[str, str, str | None, int | None]) -> pa.Table:
    columns = [pa.array([row[i] for row in rows], pa.string() if i < 3 else pa.int64()) for i in range(4)]
    return pa.table(dict(zip(["platform", "id", "title", "release_year"], columns, strict=True)))


def pairs(edges: pa.Table) -> list[tuple[str, str, str]]:
    """(left, right, evidence) with records as 'platform:id', sorted."""
    assert edges.schema == EDGE_SCHEMA
    return sorted(
        (f"{row['platform_l']}:{row['id_l']}", f"{row['platform_r']}:{row['id_r']}", row["evidence"])
        for row in edges.to_pylist()
    )


def test_records_with_one_value_are_a_star_around_the_first() -> None:
    records = accounts(("shop", "b", "x", None), ("forum", "z", "x", None), ("shop", "a", "x", None))
    assert pairs(equal_value_edges(records, "email_token")) == [
        ("forum:z", "shop:a", "email_token"),
        ("forum:z", "shop:b", "email_token"),
    ]


def test_ids_are_only_ids_together_with_their_platform() -> None:
    records = accounts(("shop", "1", "x", None), ("stream", "1", "x", None), ("forum", "1", "y", None))
    assert pairs(equal_value_edges(records, "email_token")) == [("shop:1", "stream:1", "email_token")]


def test_an_edge_of_an_equal_value_is_certain() -> None:
    records = accounts(("shop", "1", "x", None), ("stream", "2", "x", None))
    assert equal_value_edges(records, "email_token")["score"].to_pylist() == [1.0]


@pytest.mark.parametrize("nothing", [None, ""])
def test_having_no_value_is_nothing_to_share(nothing: str | None) -> None:
    records = accounts(("shop", "1", nothing, None), ("stream", "2", nothing, None))
    assert pairs(equal_value_edges(records, "email_token")) == []


def test_a_value_links_up_to_the_cap_and_nobody_above_it() -> None:
    three = [("shop", str(number), "x", None) for number in range(3)]
    assert len(pairs(equal_value_edges(accounts(*three), "email_token", max_records=3))) == 2
    assert pairs(equal_value_edges(accounts(*three, ("shop", "4", "x", None)), "email_token", max_records=3)) == []
    assert len(pairs(equal_value_edges(accounts(*three, ("shop", "4", "x", None)), "email_token"))) == 3


def test_the_cap_counts_each_value_by_itself() -> None:
    records = accounts(
        *[("shop", f"a{n}", "info", None) for n in range(3)], ("shop", "1", "x", None), ("forum", "2", "x", None)
    )
    assert pairs(equal_value_edges(records, "email_token", max_records=2)) == [("forum:2", "shop:1", "email_token")]
    assert overshared_values(records, "email_token", 2) == 1
    assert overshared_values(records, "email_token", 3) == 0
    assert overshared_values(records, "phone_token", 1) == 0


def test_the_order_of_the_records_does_not_matter() -> None:
    records = accounts(("shop", "b", "x", "p"), ("forum", "z", "x", None), ("stream", "a", None, "p"))
    backwards = records.take(pa.array([2, 1, 0]))
    assert pairs(person_edges(records, 8)) == pairs(person_edges(backwards, 8))


def test_people_are_linked_by_email_and_by_phone() -> None:
    records = accounts(
        ("forum", "1", "e1", "p1"), ("shop", "2", "e1", "p2"), ("stream", "3", None, "p2"), ("stream", "4", "e4", "p4")
    )
    assert pairs(person_edges(records, 8)) == [
        ("forum:1", "shop:2", "email_token"),
        ("shop:2", "stream:3", "phone_token"),
    ]


def test_an_email_is_never_compared_with_a_phone() -> None:
    assert pairs(person_edges(accounts(("forum", "1", "same", None), ("shop", "2", None, "same")), 8)) == []


def test_the_cap_holds_for_both_tokens_of_people() -> None:
    family = [("shop", str(number), f"e{number}", "p") for number in range(3)]
    assert pairs(person_edges(accounts(*family), 2)) == []
    assert len(pairs(person_edges(accounts(*family), 3))) == 2


def test_no_records_give_no_edges() -> None:
    assert pairs(person_edges(accounts(), 8)) == []
    assert pairs(product_edges(items())) == []


def test_products_meet_by_title_and_year_whatever_the_spelling() -> None:
    records = items(
        ("stream", "1", "Matrix, The (1999)", 1999),
        ("shop", "2", "The Matrix", 1999),
        ("forum", "3", "the matrix!", 1999),
    )
    assert pairs(product_edges(records)) == [
        ("forum:3", "shop:2", "title_and_year"),
        ("forum:3", "stream:1", "title_and_year"),
    ]


def test_a_remake_of_another_year_is_another_product() -> None:
    records = items(
        ("stream", "1", "Psycho", 1960), ("shop", "2", "Psycho", 1998), ("forum", "3", "Psycho (1998)", 1998)
    )
    assert pairs(product_edges(records)) == [("forum:3", "shop:2", "title_and_year")]


@pytest.mark.parametrize(("title", "year"), [("Psycho", None), (None, 1960), ("", 1960), ("(1960)", 1960)])
def test_without_a_title_or_a_year_nothing_meets(title: str | None, year: int | None) -> None:
    assert pairs(product_edges(items(("stream", "1", title, year), ("shop", "2", title, year)))) == []


def test_a_title_that_ends_in_a_year_is_not_taken_for_one_with_that_year() -> None:
    records = items(("stream", "1", "2001", 1968), ("shop", "2", "200", 11968))
    assert pairs(product_edges(records)) == []


@pytest.mark.parametrize(
    ("written", "normalised"),
    [
        ("Matrix, The (1999)", "the matrix"),
        ("The Matrix", "the matrix"),
        ("  THE   MATRIX ", "the matrix"),
        ("Seven (Se7en) (1995)", "seven"),
        ("Amélie", "amelie"),
        ("Fabuleux destin d'Amélie Poulain, Le", "le fabuleux destin d amelie poulain"),
        ("Avventura, L' (1960)", "l avventura"),
        ("Romeo & Juliet", "romeo and juliet"),
        ("Romeo and Juliet", "romeo and juliet"),
        ("Smilla's Sense of Snow", "smilla s sense of snow"),
        ("M*A*S*H (1970)", "m a s h"),
        ("Star Wars: Episode IV", "star wars episode iv"),
        ("(500) Days of Summer", "500 days of summer"),
        ("Good, the Bad and the Ugly, The (1966)", "the good the bad and the ugly"),
        ("", ""),
        (None, ""),
        ("千と千尋", ""),
    ],
)
def test_titles_lose_what_spelling_adds(written: str | None, normalised: str) -> None:
    assert normalised_title(pd.Series([written])).to_list() == [normalised]
