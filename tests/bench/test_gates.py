"""Corruptions do to a source what they say and nothing else, and the figures count what became of them."""

import json
import sqlite3
from contextlib import closing
from dataclasses import replace
from datetime import date
from pathlib import Path

import duckdb
import pytest

from tests.bench.bad_sources import BadSource, ChangesNothing
from tests.bench.corruptions import SHEETS, Corruption, drawn, named
from tests.bench.gates import batches
from tests.bench.kinds import PERMUTED
from tests.bench.outcomes import Outcome, figures

NIGHT = date(1998, 3, 28)
# the day before the night, the day before that, and the night's own day, which it does not load
DAYS = ("1998-03-27", "1998-03-26", "1998-03-28")
STREAM, ORDERS, LINES, POSTS = SHEETS[:4]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Three platforms with two events a day; all of New York's are at noon."""
    (tmp_path / "demo" / "forum" / "posts").mkdir(parents=True)
    for day in DAYS:
        lines = [
            json.dumps(
                {"post": f"{day} {n}", "handle": f"h{n}", "film": "f1", "kind": "review", "stars": n, "tags": ["a"]}
            )
            for n in (1, 2)
        ]
        file = tmp_path / "demo" / "forum" / "posts" / f"posts-{day}.jsonl"
        file.write_text("\n".join([*lines, '{"post": "cut o']) + "\n")
    with duckdb.connect(str(tmp_path / "demo" / "stream.duckdb")) as connection:
        connection.execute(
            "create table watch_log (watch_id varchar, viewer_id bigint, completion double, ingested_at timestamp)"
        )
        for day in DAYS:
            connection.execute(
                f"insert into watch_log select 'w' || n, n, n / 10, '{day} 12:00:00' from range(1, 3) as t(n)"
            )
    with closing(sqlite3.connect(tmp_path / "demo" / "shop.sqlite")) as connection:
        connection.execute("create table order_lines (line_id text, sku text, review_score integer, recorded_at text)")
        rows = [(f"{day} {n}", "DVD-1", 80 + n, f"{day} 12:00:00") for day in DAYS for n in (1, 2)]
        connection.executemany("insert into order_lines values (?, ?, ?, ?)", rows)
        connection.commit()
    return tmp_path


def lines(home: Path) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(home / "demo" / "shop.sqlite")) as connection:
        return connection.execute("select * from order_lines order by line_id").fetchall()


def watched(home: Path) -> list[tuple[object, ...]]:
    with duckdb.connect(str(home / "demo" / "stream.duckdb")) as connection:
        return connection.execute(
            "select ingested_at::date::varchar, viewer_id, completion from watch_log order by all"
        ).fetchall()


def posts(home: Path, day: str) -> list[str]:
    return (home / "demo" / "forum" / "posts" / f"posts-{day}.jsonl").read_text().splitlines()


def test_a_column_of_sqlite_is_lost_tonight_and_only_tonight(home: Path) -> None:
    before = lines(home)
    source = BadSource(home, LINES, NIGHT)
    source.corrupt(Corruption(LINES, "no score", "update rows set {value} = null"))
    after = lines(home)
    assert [row for row in after if row[0].startswith(DAYS[0])] == [
        (f"{DAYS[0]} {n}", "DVD-1", None, f"{DAYS[0]} 12:00:00") for n in (1, 2)
    ]
    assert [row for row in after if not row[0].startswith(DAYS[0])] == [
        row for row in before if not row[0].startswith(DAYS[0])
    ]
    assert source.changed_share == 1


def test_a_column_of_sqlite_keeps_its_type_whatever_is_in_it(home: Path) -> None:
    corruption = Corruption(LINES, "fractions", "update rows set {value} = cast({value} as double) / 100")
    BadSource(home, LINES, NIGHT).corrupt(corruption)
    with closing(sqlite3.connect(home / "demo" / "shop.sqlite")) as connection:
        types = [kind for _, _, kind, *_ in connection.execute("pragma table_info(order_lines)")]
    assert [kind.lower() for kind in types] == ["text", "text", "integer", "text"]
    assert [score for line, _, score, _ in lines(home) if str(line).startswith(DAYS[0])] == [0.81, 0.82]


def test_ids_that_are_no_numbers_make_the_column_text(home: Path) -> None:
    BadSource(home, STREAM, NIGHT).corrupt(Corruption(STREAM, "dots", "update rows set {account} = {account} || '.0'"))
    assert watched(home) == [
        (DAYS[1], "1", 0.1),
        (DAYS[1], "2", 0.2),
        (DAYS[0], "1.0", 0.1),
        (DAYS[0], "2.0", 0.2),
        (DAYS[2], "1", 0.1),
        (DAYS[2], "2", 0.2),
    ]


def test_a_file_keeps_its_types_and_the_lines_that_are_no_json(home: Path) -> None:
    other = {day: posts(home, day) for day in DAYS[1:]}
    BadSource(home, POSTS, NIGHT).corrupt(Corruption(POSTS, "half", "delete from rows where {account} = 'h1'"))
    kept, broken = posts(home, DAYS[0])
    assert json.loads(kept) == {
        "post": f"{DAYS[0]} 2",
        "handle": "h2",
        "film": "f1",
        "kind": "review",
        "stars": 2,
        "tags": ["a"],
    }
    assert broken == '{"post": "cut o'
    assert {day: posts(home, day) for day in DAYS[1:]} == other


def test_an_export_sends_all_rows_of_a_file_so_far(home: Path) -> None:
    BadSource(home, POSTS, NIGHT).corrupt(Corruption(POSTS, "export", "", "export"))
    sent = [json.loads(line)["post"] for line in posts(home, DAYS[0])[:-1]]
    assert sorted(sent) == sorted(f"{day} {n}" for day in DAYS[:2] for n in (1, 2))


def test_a_column_is_renamed_for_all_nights(home: Path) -> None:
    renamed = Corruption(STREAM, "renamed", "alter table {table} rename column completion to progress", "schema")
    BadSource(home, STREAM, NIGHT).corrupt(renamed)
    with duckdb.connect(str(home / "demo" / "stream.duckdb")) as connection:
        assert "progress" in [name for name, *_ in connection.execute("describe watch_log").fetchall()]


def test_a_corruption_that_changes_nothing_is_no_corruption(home: Path) -> None:
    with pytest.raises(ChangesNothing, match="posts: nothing"):
        BadSource(home, POSTS, NIGHT).corrupt(Corruption(POSTS, "nothing", "update rows set {item} = 'f1'"))


def test_names_are_unique_and_more_than_a_hundred() -> None:
    names = [corruption.name for corruption in named()]
    assert len(set(names)) == len(names) > 100


def test_a_seed_draws_the_same_corruptions() -> None:
    assert drawn(20, 1) == drawn(20, 1) != drawn(20, 2)


def test_a_run_has_a_corruption_of_each_platform() -> None:
    made = batches(named(), 1, alone=False)
    assert sorted(each.name for batch in made for each in batch) == sorted(each.name for each in named())
    assert all(len({each.sheet.platform for each in batch}) == len(batch) for batch in made)
    assert any([each.sheet.platform for each in batch] == ["forum", "shop", "stream"] for batch in made)
    assert all(len({each.expected == "harmless" for each in batch}) == 1 for batch in made)
    assert all(len(batch) == 1 for batch in batches(named(), 1, alone=True))


def test_figures_count_what_was_caught_and_name_what_was_not() -> None:
    outcomes = [
        Outcome("a", "caught", "held", "check_loads", "because"),
        Outcome("b", "caught", "silent", changed=0.5),
        Outcome("c", "harmless", "held", "check_contents"),
        Outcome("d", "small", "silent"),
    ]
    clean: list[dict[str, object]] = [
        {"night": "1998-03-16", "platform": "shop", "held": ["contents"], "warnings": []},
        {"night": "1998-03-16", "platform": "forum", "held": [], "warnings": ["slow"]},
    ]
    found = {row.metric: row for row in figures(outcomes, clean)}
    assert found["corruptions with a name that were caught"].value == 0.5
    assert not found["corruptions with a name that were caught"].met
    assert found["held at check_loads"].value == 1
    assert found["silent: b"].value == 0.5
    assert (found["harmless changes held"].value, found["harmless changes held"].peer) == (1, "c")
    assert found["held loads in clean nights"].peer == "shop 1998-03-16"
    assert found["loads with a warning in clean nights"].value == 1
    assert "silent: d" not in found


def test_what_reaches_no_list_is_not_counted_among_what_reached_lists() -> None:
    through = Outcome("a", "caught", "silent", lists_changed=0.2, hits=0.9)
    harmless, unknown = replace(through, name="b", lists_changed=0.001), replace(through, name="c", lists_changed=None)
    found = {row.metric: row for row in figures([through, harmless, unknown], [])}
    assert found["corruptions that reached at least 1% of the lists"].value == 2
    assert found["silent: a"].peer == "20.0% of lists changed; hits of the following week -10.0%"


def test_a_botnet_is_of_new_accounts_that_are_there(home: Path) -> None:
    with duckdb.connect(str(home / "demo" / "stream.duckdb")) as connection:
        connection.execute(
            "create table viewers (viewer_id bigint, email varchar, created_at timestamp, updated_at timestamp)"
        )
        connection.execute(f"insert into viewers values (1, 'a@example.com', '{DAYS[0]} 01:00', '{DAYS[0]} 01:00')")
        connection.execute("alter table watch_log add column title_id bigint")
        connection.execute("update watch_log set title_id = viewer_id")
    [botnet] = [each for each in named() if each.name == "stream.watch_log: a botnet on one item"]
    BadSource(home, botnet.sheet, NIGHT).corrupt(botnet)
    with duckdb.connect(str(home / "demo" / "stream.duckdb")) as connection:
        [bots] = connection.execute(
            "select count(*), count(distinct viewer_id), count(distinct title_id) from watch_log semi join viewers using (viewer_id)"
            " where viewer_id > 1"
        ).fetchall()
    assert bots == (2000, 200, 1)


def test_all_of_a_table_can_be_permuted(home: Path) -> None:
    BadSource(home, POSTS, NIGHT).corrupt(Corruption(POSTS, "permuted", PERMUTED.format(c="{account}")))
    sent = [json.loads(line) for line in posts(home, DAYS[0])[:-1]]
    assert sorted((post["post"], post["handle"]) for post in sent) == [(f"{DAYS[0]} 1", "h2"), (f"{DAYS[0]} 2", "h1")]


def test_a_column_is_moved_and_every_column_keeps_its_type(home: Path) -> None:
    for sheet, column in ((LINES, "review_score"), (STREAM, "completion"), (POSTS, "stars")):
        [moved] = [each for each in named() if each.sheet == sheet and each.scope == "reordered"]
        assert moved.sql == column
        BadSource(home, sheet, NIGHT).corrupt(moved)
    with closing(sqlite3.connect(home / "demo" / "shop.sqlite")) as connection:
        columns = [(name, kind.lower()) for _, name, kind, *_ in connection.execute("pragma table_info(order_lines)")]
    assert columns == [("review_score", "integer"), ("line_id", "text"), ("sku", "text"), ("recorded_at", "text")]
    with duckdb.connect(str(home / "demo" / "stream.duckdb")) as connection:
        assert next(name for name, *_ in connection.execute("describe watch_log").fetchall()) == "completion"
    assert next(iter(json.loads(posts(home, DAYS[0])[0]))) == "stars"
