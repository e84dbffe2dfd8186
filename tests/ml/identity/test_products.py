"""Which items are one product: films whose spelling, year or codes differ, and those that only look alike."""

import random

import pyarrow as pa
import pytest

from ml.identity.clusters import cluster
from ml.identity.linkage import LinkageModel, score, score_pair, train
from ml.identity.products import (
    PRODUCTS,
    alternative_title,
    item_records,
    normalised_creator,
    normalised_gtin,
    normalised_imdb_id,
    normalised_isbn,
    normalised_title,
    numerals,
)

COLUMNS = {
    "platform": pa.string(),
    "id": pa.string(),
    "title": pa.string(),
    "release_year": pa.int64(),
    "creator": pa.string(),
    "gtin": pa.string(),
    "isbn": pa.string(),
    "imdb_id": pa.string(),
    "price": pa.float64(),
}
Item = dict[str, str | int | float | None]


def item(name: str, title: str | None, year: int | None = None, **known: str | float) -> Item:
    """An item written 'platform:id'."""
    platform, id_ = name.split(":")
    return {"platform": platform, "id": id_, "title": title, "release_year": year, **known}


def records(*items: Item, alone: tuple[str, ...] = (), max_items_per_code: int = 8) -> pa.Table:
    rows = [{column: row.get(column) for column in COLUMNS} for row in items]
    return item_records(pa.Table.from_pylist(rows, schema=pa.schema(COLUMNS)), alone, max_items_per_code)


def catalogue(films: int, seed: int) -> list[Item]:
    """Films with distinct titles on two platforms, each with its year."""
    rng = random.Random(seed)
    syllables = [a + b for a in "bdfgklmnprst" for b in "aeiou"]
    found: list[Item] = []
    for number in range(films):
        title = f"{''.join(rng.choices(syllables, k=4))} {''.join(rng.choices(syllables, k=3))}"
        year = rng.randint(1930, 2000)
        found += [item(f"{platform}:film{number}", title, year) for platform in ("shop", "stream")]
    return found


FILMS = catalogue(600, seed=7)


@pytest.fixture(scope="module")
def model() -> LinkageModel:
    return train(records(*FILMS), PRODUCTS, seed=1)


@pytest.fixture
def meets(model: LinkageModel):
    """Groups of items that are one product, as 'platform:id' in order, those that stay single left out."""

    def groups(*items: Item, **options: int | tuple[str, ...]) -> list[list[str]]:
        table = records(*items, **options)  # type: ignore[arg-type]
        labels = cluster(table, score(table, PRODUCTS, model), threshold=0.9, max_size=50).to_pylist()
        names = [f"{row['platform']}:{row['id']}" for row in table.to_pylist()]
        found = [[name for name, its in zip(names, labels, strict=True) if its == label] for label in sorted({*labels})]
        return [group for group in found if len(group) > 1]

    return groups


# --- who meets


def test_a_generated_catalogue_is_found_whole(model: LinkageModel) -> None:
    pairs = score(records(*FILMS), PRODUCTS, model).to_pylist()
    links = [pair for pair in pairs if pair["match_weight"] > 0]
    assert len(links) == 600
    assert all(pair["id_l"] == pair["id_r"] for pair in links)


def test_films_meet_whatever_the_spelling(meets) -> None:
    assert meets(
        item("forum:1", "the matrix!", 1999),
        item("shop:2", "The Matrix", 1999),
        item("stream:3", "Matrix, The (1999)", 1999),
        item("forum:4", "Amelie", 2001),
        item("stream:5", "Amélie (2001)", 2001),
        item("forum:6", "Romeo & Juliet", 1996),
        item("shop:7", "Romeo and Juliet", 1996),
        item("shop:8", "Blow-Out", 1981),
        item("stream:9", "Blowout", 1981),
    ) == [["forum:1", "shop:2", "stream:3"], ["forum:4", "stream:5"], ["forum:6", "shop:7"], ["shop:8", "stream:9"]]


def test_a_second_title_in_brackets_is_a_title(meets) -> None:
    assert meets(
        item("shop:1", "Se7en", 1995),
        item("stream:2", "Seven (Se7en) (1995)", 1995),
        item("shop:3", "Ladri di biciclette", 1948),
        item("stream:4", "Bicycle Thief, The (Ladri di biciclette) (1948)", 1948),
        item("shop:5", "The Road Warrior", 1981),
        item("stream:6", "Road Warrior, The (a.k.a. Mad Max) (1981)", 1981),
    ) == [["shop:1", "stream:2"], ["shop:3", "stream:4"], ["shop:5", "stream:6"]]


def test_a_typing_error_in_a_long_title_is_forgiven(meets) -> None:
    assert meets(
        item("shop:1", "Lawrence of Arabia", 1962),
        item("stream:2", "Lawrense of Arabia", 1962),
        item("forum:3", "Lawrence fo Arabia", 1962),
    ) == [["forum:3", "shop:1", "stream:2"]]


def test_short_titles_that_differ_are_others(meets) -> None:
    assert not meets(
        item("shop:1", "The Fan", 1996),
        item("stream:2", "The Van", 1996),
        item("shop:3", "Twister", 1996),
        item("stream:4", "Twisted", 1996),
    )


def test_the_year_may_be_off_by_one(meets) -> None:
    assert meets(item("shop:1", "Fantasia", 1940), item("stream:2", "Fantasia", 1941)) == [["shop:1", "stream:2"]]


@pytest.mark.parametrize(
    ("first", "second", "years"),
    [
        ("Toy Story", "Toy Story 2", (1995, 1999)),
        ("Operation Condor", "Operation Condor 2", (1990, 1990)),
        ("Rocky II", "Rocky III", (1979, 1979)),
        ("Rocky II", "Rocky 4", (None, None)),
        ("Kill Bill (Vol. 1)", "Kill Bill (Vol. 2)", (2003, 2004)),
        ("Dune", "Dune: Part Two", (2021, 2021)),
        ("Star Wars: Episode IV", "Star Wars: Episode V", (None, None)),
        ("Three Colors: Red", "Three Colors: White", (1994, 1994)),
    ],
)
def test_sequels_stay_apart(meets, first: str, second: str, years: tuple[int | None, int | None]) -> None:
    assert not meets(item("shop:1", first, years[0]), item("stream:2", second, years[1]))


@pytest.mark.parametrize(
    ("first", "second"),
    [("Rocky III", "Rocky 3"), ("Dune: Part Two", "Dune, Part 2"), ("Star Wars: Episode I", "Star Wars: Episode 1")],
)
def test_one_part_written_in_two_ways_is_one(meets, first: str, second: str) -> None:
    assert meets(item("shop:1", first, 1990), item("stream:2", second, 1990)) == [["shop:1", "stream:2"]]


def test_a_remake_of_another_year_is_another_product(meets) -> None:
    assert meets(
        item("forum:1", "Psycho (1998)", 1998),
        item("shop:2", "Psycho", 1998),
        item("stream:3", "Psycho", 1960),
    ) == [["forum:1", "shop:2"]]


def test_a_remake_by_the_same_director_is_another_product(model: LinkageModel) -> None:
    films = [
        item("shop:1", "The Man Who Knew Too Much", 1934, creator="Alfred Hitchcock"),
        item("stream:2", "The Man Who Knew Too Much", 1956, creator="Hitchcock, Alfred"),
    ]
    assert score_pair(records(*films), PRODUCTS, model)["match_weight"].to_pylist()[0] < 0


def test_without_a_year_a_title_meets_where_only_one_film_bears_it(meets) -> None:
    assert meets(
        item("shop:1", "Casablanca", None),
        item("stream:2", "Casablanca (1942)", 1942),
        item("shop:3", "Sabrina", None),
        item("stream:4", "Sabrina (1954)", 1954),
        item("stream:5", "Sabrina (1995)", 1995),
    ) == [["shop:1", "stream:2"]]


def test_a_year_that_the_platform_leaves_out_stands_in_the_title(meets) -> None:
    assert meets(
        item("shop:1", "Sabrina (1954)", None), item("stream:2", "Sabrina", 1954), item("stream:3", "Sabrina", 1995)
    ) == [["shop:1", "stream:2"]]


def test_titles_of_every_script_meet(meets) -> None:
    assert meets(
        item("shop:1", "Война и мир", 1966),
        item("stream:2", "ВОЙНА И МИР (1966)", 1966),
        item("shop:3", "千と千尋の神隠し", 2001),
        item("stream:4", "千と千尋の神隠し (2001)", 2001),
        item("shop:5", "七人の侍", 1954),
        item("stream:6", "Солярис", 1972),
    ) == [["shop:1", "stream:2"], ["shop:3", "stream:4"]]


@pytest.mark.parametrize("title", [None, "", "  ", "(1960)", "!?"])
def test_without_a_title_or_a_code_nothing_meets(meets, title: str | None) -> None:
    assert not meets(item("shop:1", title, 1960), item("stream:2", title, 1960))


def test_a_platform_that_lists_a_product_once_has_two_where_it_lists_two(meets) -> None:
    twice = item("shop:1", "Heat", 1995), item("shop:2", "Heat", 1995)
    assert meets(*twice) == [["shop:1", "shop:2"]]
    assert not meets(*twice, alone=("shop",))


# --- codes


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({"isbn": "0-306-40615-2"}, {"isbn": "978-0-306-40615-7"}),
        ({"isbn": "0-306-40615-2"}, {"gtin": "9780306406157"}),
        ({"gtin": "036000291452"}, {"gtin": "0036000291452"}),
        ({"imdb_id": "tt0133093"}, {"imdb_id": "https://www.imdb.com/title/tt0133093/?ref_=x"}),
    ],
)
def test_equal_codes_meet_in_spite_of_titles_and_years(meets, first: dict[str, str], second: dict[str, str]) -> None:
    assert meets(
        item("shop:1", "Die Verwandlung", 1915, **first),
        item("stream:2", "Metamorphosis and Other Stories", 1961, **second),
    ) == [["shop:1", "stream:2"]]


def test_films_of_two_imdb_ids_are_two(meets) -> None:
    films = item("shop:1", "Pinocchio", 2022), item("stream:2", "Pinocchio", 2022)
    assert meets(*films) == [["shop:1", "stream:2"]]
    assert not meets({**films[0], "imdb_id": "tt1488589"}, {**films[1], "imdb_id": "tt4593060"})


def test_editions_with_their_own_barcodes_are_one_film(meets) -> None:
    assert meets(
        item("shop:1", "Lawrence of Arabia", 1962, gtin="036000291452"),
        item("stream:2", "Lawrence of Arabia", 1962, gtin="4006381333931"),
    ) == [["shop:1", "stream:2"]]


def test_a_code_that_too_many_bear_links_none(meets) -> None:
    names = ("Alpha", "Zulu", "Quebec")
    films = [item(f"shop:{n}", name, 1950 + 9 * n, gtin="4006381333931") for n, name in enumerate(names)]
    assert meets(*films, max_items_per_code=3) == [["shop:0", "shop:1", "shop:2"]]
    assert not meets(*films, max_items_per_code=2)


def test_training_on_wrong_codes_teaches_no_sequel_to_meet() -> None:
    """A shop that gives every sequel the first part's id: what speaks against is declared, not learned."""
    films = [
        row
        for number, (first, _) in enumerate(zip(FILMS[::2], FILMS[1::2], strict=True))
        for row in (
            {**first, "imdb_id": f"tt{number + 1000000}"},
            {**first, "platform": "stream", "title": f"{first['title']} 2", "imdb_id": f"tt{number + 1000000}"},
        )
    ]
    astray = train(records(*films), PRODUCTS, seed=1)
    pair = records(item("shop:1", "Toy Story", 1995), item("stream:2", "Toy Story 2", 1995))
    assert score_pair(pair, PRODUCTS, astray)["match_weight"].to_pylist()[0] < -5


@pytest.mark.parametrize(
    ("written", "normalised"),
    [
        ("4006381333931", "4006381333931"),
        ("04006381333931", "4006381333931"),
        (" 0 36000-29145 2", "36000291452"),
        ("96385074", "96385074"),
        ("4006381333932", None),  # a wrong check digit
        ("2000000000008", None),  # a store's own number
        ("0000000000000", None),
        ("n/a", None),
        ("", None),
        (None, None),
    ],
)
def test_gtins(written: str | None, normalised: str | None) -> None:
    assert normalised_gtin(written) == normalised


@pytest.mark.parametrize(
    ("written", "normalised"),
    [
        ("0-306-40615-2", "9780306406157"),
        ("ISBN 0306406152", "9780306406157"),
        ("ISBN-13: 978-0-306-40615-7", "9780306406157"),
        ("0-8044-2957-x", "9780804429573"),
        ("0-306-40615-3", None),
        ("9780306406158", None),
        ("036000291452", None),
        (None, None),
    ],
)
def test_isbns(written: str | None, normalised: str | None) -> None:
    assert normalised_isbn(written) == normalised


@pytest.mark.parametrize(
    ("written", "normalised"),
    [
        ("tt0133093", "tt0133093"),
        ("133093", "tt0133093"),
        ("TT10872600", "tt10872600"),
        ("https://www.imdb.com/title/tt0133093/reviews", "tt0133093"),
        ("nm0000123", None),
        ("tt", None),
        ("tt0000000", None),
        (None, None),
    ],
)
def test_imdb_ids(written: str | None, normalised: str | None) -> None:
    assert normalised_imdb_id(written) == normalised


# --- titles


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
        ("Kill Bill (Vol. 2) (2004)", "kill bill vol 2"),
        ("", ""),
        (None, ""),
        ("千と千尋の神隠し (2001)", "千と千尋の神隠し"),
        ("Трудно быть богом", "трудно быть богом"),
    ],
)
def test_titles_lose_what_spelling_adds(written: str | None, normalised: str) -> None:
    assert normalised_title(written) == normalised


@pytest.mark.parametrize(
    ("written", "second"),
    [
        ("Seven (Se7en) (1995)", "se7en"),
        ("Promise, The (Versprechen, Das) (1994)", "das versprechen"),
        ("Mad Max 2 (a.k.a. The Road Warrior) (1981)", "the road warrior"),
        ("Heat (1995)", None),
        ("Kill Bill (Vol. 2)", None),
        ("(1960)", None),
        (None, None),
    ],
)
def test_second_titles_stand_in_brackets(written: str | None, second: str | None) -> None:
    assert alternative_title(written) == second


@pytest.mark.parametrize(
    ("title", "found"),
    [
        ("toy story", ""),
        ("toy story 2", "2"),
        ("alien3", "3"),
        ("rocky iii", "3"),
        ("dune part two", "2"),
        ("two women", ""),
        ("star wars episode i", ""),
        ("2001 a space odyssey", "2001"),
        ("friday the 13th part 03", "3"),
    ],
)
def test_numerals_tell_the_parts_of_a_series(title: str, found: str) -> None:
    assert numerals(title) == found


def test_creators_are_named_in_any_order() -> None:
    assert normalised_creator("King, Stephen") == normalised_creator("Stephen KING") == "king stephen"
    assert normalised_creator(" - ") is None


# --- records


def test_a_fingerprint_changes_with_what_is_compared_alone() -> None:
    heat = item("shop:1", "Heat", 1995)
    prints = {
        name: records(*films)["fingerprint"].to_pylist()[0]
        for name, films in {
            "as it was": [heat],
            "other spelling": [{**heat, "title": "HEAT (1995)"}],
            "priced": [{**heat, "price": 4.99}],
            "a namesake": [heat, item("shop:2", "Heat", 1986)],
        }.items()
    }
    assert prints["as it was"] == prints["other spelling"]
    assert len(set(prints.values())) == 3


def test_records_come_in_order_and_none_is_none() -> None:
    table = records(item("stream:b", "B"), item("stream:a", "A"), item("shop:z", "Z", price=0.0), alone=("shop",))
    assert table["id"].to_pylist() == ["z", "a", "b"]
    assert table["alone"].to_pylist() == [True, False, False]
    assert table["price"].to_pylist() == [None, None, None]
    assert records().num_rows == 0
