"""Late, backdated, equal and coarse watermarks: whatever the order in which rows arrive, all of them land, and none of them twice."""

import random
from collections.abc import Callable
from datetime import date, datetime, timedelta
from pathlib import Path

import duckdb
import pytest

from infra.lake import Lake, open_lake
from infra.platforms import Manifest, Platform, extract_table, manifests
from infra.settings import Settings
from tests.infra.platforms.test_extract import rows

NIGHT = date(2000, 12, 15)
ORDERS = """
- name: orders
  meta: {contract: events, key: [id], watermark: day}
  columns: [{name: id}, {name: day}]
"""
FILES = """
- name: orders
  meta: {contract: events, key: [id], path: "orders-{date}.csv"}
  columns: [{name: id}, {name: day}]
"""

Load = Callable[[date], Manifest]


@pytest.fixture
def night_of(lake: Lake, settings: Settings) -> Callable[[Platform], Load]:
    return lambda platform: lambda night: extract_table(platform, platform.tables[0], night, lake, settings)


def landed(lake: Lake) -> list[str]:
    return [str(row["id"]) for load in manifests(lake, "shop", "orders") for row in rows(lake, load)]


@pytest.mark.parametrize("zone", ["UTC", "Asia/Tokyo", "America/New_York"])
def test_a_row_an_hour_with_a_date_as_its_watermark(zone, database, declare, lake, night_of) -> None:
    platform = declare(database.url, ORDERS, timezone=zone)
    database.execute(
        f"create table orders (id varchar(9), day {'text' if database.technology == 'sqlite' else 'date'})"
    )
    load = night_of(platform)
    for day in range(12, 15):
        values = ", ".join(f"('{24 * day + hour}', '2000-12-{day}')" for hour in range(24))
        database.execute(f"insert into orders values {values}")
        load(date(2000, 12, day + 1))
    for night in range(2):
        load(NIGHT + timedelta(days=1 + night))
    assert sorted(map(int, landed(lake))) == [*range(24 * 12, 24 * 15)]


def test_a_dated_file_that_arrives_after_the_night(tmp_path, declare, lake, night_of) -> None:
    platform = declare(f"file:///{tmp_path}/shop", FILES, timezone="America/New_York")
    (tmp_path / "shop").mkdir()
    load = night_of(platform)
    for day in range(1, 10):  # each written at 05:05 UTC of the next day, three hours after the night
        (tmp_path / "shop" / f"orders-2000-12-{day:02}.csv").write_text(f"id,day\n{day},x\n")
        load(date(2000, 12, day + 2))
    assert landed(lake) == [str(day) for day in range(1, 10)]
    first = next(manifests(lake, "shop", "orders"))
    assert rows(lake, first)[0]["_known_at"] == datetime(2000, 12, 2, 4, 59, 59, 999_999)


def test_a_late_file_is_known_from_when_it_came(tmp_path, declare, lake, night_of) -> None:
    platform = declare(f"file:///{tmp_path}/shop", FILES)
    (tmp_path / "shop").mkdir()
    load = night_of(platform)
    (tmp_path / "shop" / "orders-2000-12-02.csv").write_text("id,day\n2,x\n")
    load(date(2000, 12, 10))
    (tmp_path / "shop" / "orders-2000-12-01.csv").write_text("id,day\n1,x\n")
    late = load(date(2000, 12, 11))
    assert (late.rows, late.counts.late) == (1, 1)
    assert rows(lake, late)[0]["_known_at"] == datetime(2000, 12, 10)


def test_a_file_that_changes_brings_what_is_new_in_it(tmp_path, declare, lake, night_of) -> None:
    platform = declare(f"file:///{tmp_path}/shop", FILES)
    (tmp_path / "shop").mkdir()
    file = tmp_path / "shop" / "orders-2000-12-01.csv"
    load = night_of(platform)
    file.write_text("id,day\n1,x\n2,x\n")
    load(date(2000, 12, 10))
    assert load(date(2000, 12, 11)).source_files == []
    file.write_text("id,day\n1,x\n2,y\n3,x\n")
    changed = load(date(2000, 12, 12))
    assert [row["id"] for row in rows(lake, changed)] == ["2", "3"]
    assert [(found.records, found.records_before) for found in changed.source_files] == [(3, 2)]
    file.write_text("id,day\n1,x\n")
    shorter = load(date(2000, 12, 13))
    assert [(found.records, found.records_before) for found in shorter.source_files] == [(1, 3)]
    assert shorter.rows == 0
    file.touch()
    assert [found.records for found in load(date(2000, 12, 14)).source_files] == [1]  # written anew, the same content
    assert load(date(2000, 12, 15)).source_files == []


def test_an_old_file_that_comes_again_does_not_undo_a_newer_one(tmp_path, declare, lake, night_of) -> None:
    platform = declare(f"file:///{tmp_path}/shop", FILES)
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop" / "orders-2000-12-01.csv").write_text("id,day\n1,here\n")
    (tmp_path / "shop" / "orders-2000-12-02.csv").write_text("id,day\n1,gone\n")
    load = night_of(platform)
    load(date(2000, 12, 10))
    (tmp_path / "shop" / "orders-2000-12-01.csv").write_text("id,day\n1,here\n5,new\n")
    assert [row["id"] for row in rows(lake, load(date(2000, 12, 11)))] == ["5"]


def test_rows_older_than_the_overlap_are_found_by_their_number(database, declare, lake, night_of) -> None:
    platform = declare(database.url, ORDERS)
    kind = "text" if database.technology == "sqlite" else "date"
    database.execute(f"create table orders (id varchar(9), day {kind})")
    database.execute("insert into orders values ('a', '2000-12-01'), ('b', '2000-12-10')")
    load = night_of(platform)
    assert load(date(2000, 12, 12)).rows == 2
    assert load(date(2000, 12, 13)).rows == 0
    database.execute("insert into orders values ('old', '2000-11-01'), ('c', '2000-12-13')")
    late = load(date(2000, 12, 14))
    assert [str(row["id"]) for row in rows(lake, late)] == ["c", "old"]
    assert late.counts.late == 1
    assert load(date(2000, 12, 15)).rows == 0
    assert sorted(landed(lake)) == ["a", "b", "c", "old"]


def test_rows_without_a_watermark_do_not_pile_up(database, declare, lake, night_of) -> None:
    platform = declare(database.url, ORDERS)
    database.execute(f"create table orders (id varchar(9), day {database.time_type})")
    database.execute("insert into orders values ('a', '2000-12-01 10:00:00'), ('never', null), ('nor', null)")
    load = night_of(platform)
    assert [load(NIGHT + timedelta(days=night)).rows for night in range(4)] == [3, 0, 0, 0]
    database.execute("insert into orders values ('nor this', null)")
    assert load(NIGHT + timedelta(days=4)).rows == 1


ROWS = [(f"r{number}", datetime(2000, 12, 1) + timedelta(hours=7 * number)) for number in range(30)]


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("grain", ["%Y-%m-%d %H:%M:%S", "%Y-%m-%d 00:00:00"])
def test_any_order_and_delay_of_arrival_ends_in_the_same_rows(
    seed: int, grain: str, tmp_path: Path, declare, settings: Settings
) -> None:
    chance = random.Random(seed)
    path = tmp_path / "shop.duckdb"
    platform = declare(f"duckdb:///{path}", ORDERS, timezone=chance.choice(["UTC", "America/Lima", "Asia/Tokyo"]))
    lake = open_lake(settings)
    arrives = {name: max(1, (at - datetime(2000, 12, 1)).days + chance.choice([1, 1, 2, 3, 9])) for name, at in ROWS}
    with duckdb.connect(str(path)) as source:
        source.execute("create table orders (id varchar, day timestamp)")
    for night in range(1, 20):
        with duckdb.connect(str(path)) as source:
            coming = [(name, f"{at:{grain}}") for name, at in ROWS if arrives[name] == night]
            chance.shuffle(coming)
            for row in coming:
                source.execute("insert into orders values (?, ?)", row)
        extract_table(platform, platform.tables[0], date(2000, 12, 1) + timedelta(days=night), lake, settings)
    assert sorted(landed(lake)) == sorted(name for name, _ in ROWS)
