"""Platforms that tell of each other's people, and one whose events belong to others."""

from datetime import date

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from ml.evaluation.transfer import EVERY_OTHER, SCHEMA, excluded_sources, judge, lists_by_source

CUT = date(2000, 12, 7)
PEOPLE, TASTES, EACH = 240, 4, 10  # films of each taste
FILMS = [f"film-{taste}-{number}" for taste in range(TASTES) for number in range(EACH)]


def world(strangers: str | None = None) -> dict[str, pa.Table]:
    """People of four tastes. They watch and buy films of theirs; on the platform ``strangers``, those of somebody else's."""
    generator = np.random.default_rng(7)
    people = [f"person-{number:03}" for number in range(PEOPLE)]
    interactions, wanted = [], []
    for number, person in enumerate(people):
        order = generator.permutation(EACH)
        for platform, chosen in (("shop", order[:2]), ("stream", order[2:4]), ("forum", order[4:6])):
            taste = generator.integers(TASTES) if platform == strangers else number % TASTES
            interactions += [(person, f"film-{taste}-{film}", platform) for film in chosen]
        for platform, film in zip(("shop", "stream", "forum"), order[6:9], strict=True):
            wanted.append((person, platform, f"film-{number % TASTES}-{film}"))
    similar_items = [
        (film, other, 0.5)
        for film in FILMS
        for other in FILMS
        if film != other and film.split("-")[1] == other.split("-")[1]
    ]
    offers = [(platform, film) for platform in ("shop", "stream", "forum") for film in FILMS]
    return {
        "wanted": table(wanted, "person_id", "platform", "product_id", activity="light"),
        "interactions": table(interactions, "person_id", "product_id", "platform", weight=1.0),
        "similar_items": table(similar_items, "product_id", "neighbour_id", "weight"),
        "offers": table(offers, "platform", "product_id"),
    }


def table(rows: list[tuple[object, ...]], *names: str, **constant: object) -> pa.Table:
    return pa.Table.from_pylist([{"as_of": CUT, **dict(zip(names, row, strict=True)), **constant} for row in rows])


def test_platforms_that_share_their_peoples_taste_keep_each_other() -> None:
    judged = judge(lists_by_source(**world()))
    assert set(pc.unique(judged["verdict"]).to_pylist()) == {"kept"}
    assert excluded_sources(judged) == {}


def test_a_platform_with_other_peoples_events_is_excluded_everywhere() -> None:
    judged = judge(lists_by_source(**world(strangers="forum")))
    assert excluded_sources(judged) == {"shop": ["forum"], "stream": ["forum"]}
    rows = {(row["source"], row["target"], row["cohort"]): row for row in judged.to_pylist()}
    assert rows["forum", "all", "all"]["verdict"] == "tells nothing"
    assert rows["shop", "all", "all"]["tells_low"] > 0.2
    assert rows["shop", "stream", "all"]["verdict"] == "kept"


@pytest.mark.parametrize(
    ("people", "worse", "expected"),
    [
        (120, "all", {("all", "all"): "harms", ("shop", "all"): "harms", ("shop", "new"): "harms"}),
        (240, "new", {("shop", "all"): "kept", ("shop", "new"): "harms", ("shop", "heavy"): "kept"}),
        (80, "all", {("all", "all"): "too few", ("shop", "all"): "too few"}),
    ],
)
def test_a_source_that_makes_lists_worse_harms(people: int, worse: str, expected: dict[tuple[str, str], str]) -> None:
    """Half of the people are new, half have done much; where it is not worse, the source makes lists much better."""
    rows = []
    for number in range(people):
        history, without = ("new", "heavy")[number % 2], 0.3 + 0.1 * (number % 3)
        gain = -0.1 if worse in ("all", history) else 0.3
        rows.append((f"person-{number:03}", history, "shop", "forum", without + gain, without, 0.9, 0.5))
    names = ("person_id", "activity", "target", "source", "with_source", "without", "own", "stranger")
    judged = {(row["target"], row["cohort"]): row["verdict"] for row in judge(table(rows, *names)).to_pylist()}
    assert {key: judged[key] for key in expected} == expected


@pytest.mark.parametrize(
    ("verdict", "expected"),
    [
        (("forum", "shop", "all", "harms"), {"shop": ["forum"]}),
        (("forum", "shop", "activity: new", "harms"), {"shop": ["forum"]}),
        (("forum", "all", "all", "tells nothing"), {"shop": ["forum"], "stream": ["forum"]}),
        ((EVERY_OTHER, "shop", "all", "harms"), {"shop": ["forum", "stream"]}),
        (("forum", "shop", "all", "too few"), {}),
    ],
)
def test_what_is_excluded_by_each_verdict(verdict: tuple[str, ...], expected: dict[str, list[str]]) -> None:
    kept = [(source, target, "all", "kept") for source in ("forum", "stream") for target in ("shop", "stream", "forum")]
    names = ("source", "target", "cohort", "verdict")
    rows = [dict(zip(names, row, strict=True)) for row in (*kept, verdict)]
    assert excluded_sources(pa.Table.from_pylist(rows, SCHEMA)) == expected


def test_ndcg_and_auc_of_one_list_by_hand() -> None:
    """Two candidates: the history on the forum points to the film that was chosen, the shop's own to the other."""
    tables = {
        "wanted": table([("a", "shop", "chosen")], "person_id", "platform", "product_id", activity="new"),
        "interactions": table(
            [("a", "seen", "forum", 1.0), ("a", "own", "shop", 0.4)], "person_id", "product_id", "platform", "weight"
        ),
        "similar_items": table(
            [("seen", "chosen", 0.5), ("own", "other", 1.0)], "product_id", "neighbour_id", "weight"
        ),
        "offers": table([("shop", name) for name in ("chosen", "other", "own")], "platform", "product_id"),
    }
    [forum, every] = lists_by_source(**tables).to_pylist()
    assert (forum["source"], every["source"]) == ("forum", EVERY_OTHER)
    assert forum["with_source"] == 1.0  # 0.5 against 0.4
    assert forum["without"] == 0.0  # nothing points to it
    assert forum["own"] == 1.0
    assert forum["stranger"] is None  # there is nobody else


def test_one_platform_alone_has_no_sources() -> None:
    tables = world()
    alone = {
        name: tables[name].filter(pc.equal(tables[name]["platform"], "shop"))
        for name in ("wanted", "interactions", "offers")
    }
    assert judge(lists_by_source(**tables | alone)).num_rows == 0
    assert judge(lists_by_source(**tables | {"similar_items": tables["similar_items"].slice(0, 0)})).num_rows == 0
