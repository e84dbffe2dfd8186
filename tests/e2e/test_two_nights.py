"""Two consecutive nights: from three platforms' warehouses to lists in these warehouses."""

import json
import re
import sqlite3
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, date, datetime, time
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import duckdb
import pyarrow.parquet as pq
import pytest

from dags.steps.night import Night
from dags.steps.serve.write_back import write_back
from expectations.gate import GateResult, GateStopped
from infra.mlflow.registry import Registry
from tests.e2e.conftest import (
    FIRST,
    SECOND,
    TwoNights,
    crossrec,
    current,
    files,
    nightly,
    served,
    settings_of,
)

NEW_YORK = ZoneInfo("America/New_York")
PLATFORMS = ["forum", "shop", "stream"]


def test_a_night_ends_with_what_a_person_wants_to_read(two_nights: TwoNights) -> None:
    for as_of, printed in two_nights.printed.items():
        for part in (f"the night of {as_of}", "From rows to lists", "Gates", "Ranking quality", "Where things are"):
            assert part in printed
        assert len(re.findall(r"^Person person_", printed, re.MULTILINE)) == 3
        assert "Traceback" not in printed
        report = two_nights.home / "lake" / "nights" / f"as_of={as_of}" / "report.html"
        assert str(report.relative_to(two_nights.home)) in printed


@pytest.mark.parametrize("platform", PLATFORMS)
def test_every_active_account_has_a_list(platform: str, two_nights: TwoNights) -> None:
    for as_of, lists in two_nights.served.items():
        listed = {row["account_id"] for row in lists[platform]}
        assert listed == ACTIVE[platform](two_nights.home / "demo", as_of)


@pytest.mark.parametrize("platform", PLATFORMS)
def test_lists_are_ranked_items_of_the_platform_itself(platform: str, two_nights: TwoNights) -> None:
    own_items = CATALOGUE[platform](two_nights.home / "demo")
    for as_of, lists in two_nights.served.items():
        by_account: dict[str, list[dict[str, Any]]] = {}
        for row in lists[platform]:
            by_account.setdefault(row["account_id"], []).append(row)
        for rows in by_account.values():
            assert [row["rank"] for row in rows] == list(range(1, len(rows) + 1))
            assert 1 <= len(rows) <= 20
            items = [row["item_id"] for row in rows]
            assert len(set(items)) == len(items)
            assert set(items) <= own_items
            scores = [row["score"] for row in rows]
            assert scores == sorted(scores, reverse=True)
        assert {str(row["as_of"]) for row in lists[platform]} == {as_of.isoformat()}
        assert len({row["publication_id"] for row in lists[platform]}) == 1
        ids = [row["recommendation_id"] for row in lists[platform]]
        assert len(set(ids)) == len(ids)


@pytest.mark.parametrize("platform", PLATFORMS)
def test_nothing_in_a_list_was_had_before(platform: str, two_nights: TwoNights) -> None:
    for as_of, lists in two_nights.served.items():
        had = HAD[platform](two_nights.home / "demo", as_of)
        assert len(had) > 10_000  # else the oracle found nothing and proves nothing
        assert not had & {(row["account_id"], row["item_id"]) for row in lists[platform]}


def test_all_platforms_serve_the_publication_that_the_lake_calls_current(two_nights: TwoNights) -> None:
    lists = two_nights.served[SECOND]
    publication = current(two_nights.home)
    assert publication.startswith(SECOND.isoformat())
    assert {row["publication_id"] for rows in lists.values() for row in rows} == {publication}
    table = pq.read_table(two_nights.home / "lake" / "publications" / publication / "lists.parquet")
    assert table.num_rows == sum(len(rows) for rows in lists.values())


LINES = """
select
    platform, "table", load_date, stage,
    sum(rows) filter (where part is null) as came,
    coalesce(sum(rows) filter (where part is not null), 0) as became
from read_parquet($files)
group by all
"""


@pytest.mark.parametrize("as_of", [FIRST, SECOND])
def test_the_conservation_table_adds_up(as_of: date, two_nights: TwoNights) -> None:
    files = str(two_nights.home / "lake" / "nights" / f"as_of={as_of}" / "conservation" / "*.parquet")
    with duckdb.connect() as connection:
        lines = connection.execute(LINES, {"files": files}).fetchall()
    assert [line for line in lines if line[4] != line[5]] == []
    tables = {"forum": ["films", "members", "posts"], "shop": ["customers", "order_lines", "products"]}
    tables["stream"] = ["titles", "viewers", "watch_log"]
    for platform, names in tables.items():
        for name in names:
            stages = {line[3] for line in lines if line[:2] == (platform, name)}
            assert {"landed", "staged", "fates", "marts"} <= stages, (platform, name)
        of_lists = {line[3]: line[5] for line in lines if line[:2] == (platform, "lists")}
        assert {*of_lists} == {"accounts", "ranked", "published", "written_back"}
        of_candidates = {line[3]: line[5] for line in lines if line[:2] == (platform, "candidates")}
        assert min(of_candidates["candidates"], of_candidates["scored"]) > 1000
        if as_of == FIRST:  # all snapshots are built on the first night, and no horizon closed since
            of_labels = {line[3]: line[5] for line in lines if line[:2] == (platform, "labels")}
            assert min(of_labels[stage] for stage in ("positives", "labels", "proposed")) > 100
        assert of_lists["written_back"] == len(two_nights.served[as_of][platform])
    assert {line[3] for line in lines if line[1] == "orders"} == {"source", "landed", "joined"}
    # the other end, counted by nobody of ours
    lines_of_orders = "select count(*) from order_lines where recorded_at < :until"
    staged = [line[4] for line in lines if (line[1], line[3]) == ("order_lines", "staged")]
    assert {sum(staged)} == _shop(two_nights.home / "demo", lines_of_orders, as_of)


def test_a_platform_that_loses_rows_of_its_lists_is_told(home: Path) -> None:
    """A trigger of the shop's own, which crossrec's copy of the lists does not have."""
    night = Night(SECOND, settings=settings_of(home))
    with closing(sqlite3.connect(home / "demo" / "shop.sqlite", isolation_level=None)) as connection:
        connection.execute("delete from crossrec_recommendations where rank = 2")
        connection.execute(
            "create trigger tidy after insert on crossrec_recommendations when new.rank = 20 begin"
            " delete from crossrec_recommendations where rank = 20 and account_id = new.account_id; end"
        )
    with pytest.raises(GateStopped, match="platform 'shop'") as error:
        write_back(night, "shop")
    with closing(sqlite3.connect(home / "demo" / "shop.sqlite")) as connection:
        [(accounts,)] = connection.execute("select count(distinct account_id) from crossrec_recommendations").fetchall()
    assert f"shop.lists of {SECOND}, written_back ({accounts})" in str(error.value)
    assert night.read(GateResult, "written_back-shop").verdict == "stop"


def test_both_nights_are_finished_and_the_second_is_the_newest(two_nights: TwoNights) -> None:
    lake = two_nights.home / "lake"
    assert all((lake / "nights" / f"as_of={as_of}" / "finished.json").exists() for as_of in (FIRST, SECOND))
    assert Night.newest(settings_of(two_nights.home)) == SECOND


def test_people_keep_their_ids_from_night_to_night(two_nights: TwoNights) -> None:
    first, second = (
        {
            (row["platform"], row["account_id"]): row["person_id"]
            for row in pq.read_table(
                two_nights.home / "lake" / "identity" / f"as_of={as_of}" / "account_persons.parquet"
            ).to_pylist()
        }
        for as_of in (FIRST, SECOND)
    )
    assert len(second) > len(first) > 1000
    assert len({account for account, person in first.items() if second.get(account, person) != person}) <= 2


def test_the_second_run_of_a_night_changes_no_row(home: Path) -> None:
    before = _everything(home)
    done = crossrec(home, *nightly(SECOND))
    assert done.returncode == 0, done.stdout + done.stderr
    after = _everything(home)
    assert sorted(after) == sorted(before)
    assert [name for name in before if before[name] != after[name]] == []


def _everything(home: Path) -> dict[str, object]:
    """Every row that anybody reads: platforms' lists, the lake's zones, every table of the warehouse."""
    with duckdb.connect(str(home / "warehouse.duckdb"), read_only=True) as warehouse:
        tables = warehouse.execute("select schema_name || '.' || table_name from duckdb_tables()").fetchall()
        content: dict[str, object] = {
            name: warehouse.execute(f"select count(*), sum(hash(t) % 1000000007) from {name} as t").fetchall()
            for (name,) in tables
        }
    assert len(tables) > 30
    zones = ("identity", "publications", "raw", "vault")
    return content | served(home) | {zone: files(home / "lake" / zone) for zone in zones}


def test_rollback_serves_the_night_before_everywhere_and_rolling_forward_the_newer_one(
    home: Path, two_nights: TwoNights
) -> None:
    newer, older = current(home), two_nights.served[FIRST]["shop"][0]["publication_id"]
    before = _everything(home)

    dry = crossrec(home, "rollback")
    assert dry.returncode == 0
    assert older in dry.stdout
    assert "nothing is changed" in dry.stdout
    assert _everything(home) == before

    back = crossrec(home, "rollback", "--apply", "--who", "ada", "--why", "bad lists")
    assert back.returncode == 0, back.stdout + back.stderr
    assert current(home) == older
    assert served(home) == two_nights.served[FIRST]

    forth = crossrec(home, "rollback", "--to", newer, "--apply", "--why", "they were good")
    assert forth.returncode == 0, forth.stdout + forth.stderr
    assert current(home) == newer
    assert served(home) == two_nights.served[SECOND]

    shown = crossrec(home, "publications")
    told = [line.split() for line in shown.stdout.splitlines() if newer in line or older in line]
    assert [words[1] for words in told] == ["4", "3", "2", "1"]
    assert "ada" in told[1]
    assert "bad" in told[1]


def test_rollback_to_what_never_was_names_what_there_is(home: Path, nothing_published: None) -> None:
    done = crossrec(home, "rollback", "--to", "1998-01-01-nothing", "--apply", "--why", "tried")
    assert done.returncode == 1
    assert "there is no publication 1998-01-01-nothing" in done.stdout
    assert current(home) in done.stdout


def test_the_report_needs_no_network(two_nights: TwoNights) -> None:
    page = (two_nights.home / "lake" / "nights" / f"as_of={SECOND}" / "report.html").read_text()
    assert str(SECOND) in page
    assert page.count("<svg") >= 2
    loaded = re.findall(r"""(?:src|href|url|@import)\s*[=(]?\s*["']?((?:https?:)?//[^"')\s>]+)""", page)
    assert [address for address in loaded if "w3.org" not in address] == []


def test_mlflow_has_a_champion_with_its_lineage(two_nights: TwoNights) -> None:
    champion = Registry(settings_of(two_nights.home)).champion()
    assert champion is not None
    assert champion.tags["as_of"] in (str(FIRST), str(SECOND))
    assert champion.tags["identity_snapshot"] == f"identity/as_of={champion.tags['as_of']}"
    assert {"fingerprint", "code_commit", "run_id", "snapshots"} <= {*champion.tags}
    assert all(champion.tags.values())
    serving = {row["model_version"] for rows in two_nights.served[SECOND].values() for row in rows} - {None}
    assert serving == {str(champion.version)}


def test_a_night_leaves_nothing_lying_about(two_nights: TwoNights) -> None:
    home = two_nights.home
    assert [path for folder in ("work", "spill") for path in (home / folder).rglob("*") if path.is_file()] == []
    assert list((home / "lake").rglob(".*")) == []


# --- what the platforms themselves know, read without crossrec


def _stream(demo: Path, sql: str, *parameters: object) -> set[Any]:
    with duckdb.connect(str(demo / "stream.duckdb"), read_only=True) as connection:
        rows = connection.execute(sql, parameters).fetchall()
    return {row[0] if len(row) == 1 else row for row in rows}


def _shop(demo: Path, sql: str, as_of: date | None = None) -> set[Any]:
    """The shop's local times are texts of one form, so they compare as texts."""
    until = datetime.combine(as_of, time(), UTC).astimezone(NEW_YORK).strftime("%Y-%m-%d %H:%M:%S") if as_of else ""
    with closing(sqlite3.connect(demo / "shop.sqlite")) as connection:
        rows = connection.execute(sql, {"until": until} if as_of else {}).fetchall()
    return {row[0] if len(row) == 1 else row for row in rows}


def _forum(demo: Path, table: str, as_of: date = date.max) -> list[dict[str, Any]]:
    """Readable lines of the files before ``as_of``, oldest first."""
    found = []
    for path in sorted((demo / "forum" / table).glob("*.jsonl")):
        if path.stem.removeprefix(f"{table}-") < as_of.isoformat():
            for line in path.read_text(errors="replace").splitlines():
                try:
                    found.append(json.loads(line))
                except json.JSONDecodeError:
                    continue
    return found


def _forum_members(demo: Path, as_of: date) -> set[str]:
    status = {}
    for row in _forum(demo, "members", as_of):
        status[row["handle"]] = row["status"]
        status.pop(row["formerly"], None)
    return {handle for handle, last in status.items() if last != "deleted"}


def _forum_had(demo: Path, as_of: date) -> set[tuple[str, str]]:
    until = datetime.combine(as_of, time(), UTC)
    return {
        (row["handle"], str(row["film"]))
        for row in _forum(demo, "posts", as_of)
        if row["kind"] == "review" and row["handle"] and row["film"] and datetime.fromisoformat(row["posted"]) < until
    }


ACTIVE: dict[str, Callable[[Path, date], set[str]]] = {
    "stream": lambda demo, as_of: _stream(
        demo, "select distinct viewer_id::varchar from viewers where updated_at < $1", as_of
    ),
    "shop": lambda demo, as_of: _shop(
        demo, "select distinct customer_no from customers where updated_at < :until", as_of
    ),
    "forum": _forum_members,
}
CATALOGUE: dict[str, Callable[[Path], set[str]]] = {
    "stream": lambda demo: _stream(demo, "select title_id::varchar from titles"),
    "shop": lambda demo: _shop(demo, "select sku from products"),
    "forum": lambda demo: {str(row["film"]) for row in _forum(demo, "films")},
}
HAD: dict[str, Callable[[Path, date], set[tuple[str, str]]]] = {
    "stream": lambda demo, as_of: _stream(
        demo,
        "select viewer_id::varchar, title_id::varchar from watch_log"
        " where action in ('play', 'skip') and ingested_at < $1 and started_at < $1",
        as_of,
    ),
    "shop": lambda demo, as_of: _shop(
        demo,
        "select customer_no, sku from order_lines join orders using (order_no)"
        " where status in ('paid', 'delivered') and order_lines.recorded_at < :until and ordered_at < :until",
        as_of,
    ),
    "forum": _forum_had,
}
