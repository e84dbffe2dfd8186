"""Held loads: put aside as a whole, taken back by a person, and whole again after a kill at any line."""

import os
import shutil
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from infra.lake import Lake, LocalLake, open_lake
from infra.platforms import Manifest, Platform, extract_table, gone_keys, held_load, held_loads, manifests
from infra.platforms.held import (
    HeldRecordError,
    LoadDecision,
    accepted_digests,
    brought_by,
    discard_bytes,
    hold_load,
    load_decisions,
    load_digest,
    settle,
    write_decision,
)
from infra.platforms.manifest import reached
from infra.settings import Settings
from tests.servers import Database

TABLES = """
- name: customers
  config: {meta: {contract: accounts, key: [customer_no], watermark: updated_at}}
  columns: [{name: customer_no}, {name: full_name, meta: {identifier: vault}}, {name: updated_at}]
- name: orders
  config: {meta: {contract: events, key: [order_no], watermark: recorded_at}}
  columns: [{name: order_no}, {name: recorded_at}]
"""
NIGHTS = [date(2000, 12, 15) + timedelta(days) for days in range(4)]
FIRST, SECOND, THIRD, FOURTH = NIGHTS


@pytest.fixture(params=["folder", "s3"])
def any_settings(request: pytest.FixtureRequest) -> Settings:
    made: Settings = request.getfixturevalue("settings" if request.param == "folder" else "s3_settings")
    return made


@pytest.fixture
def shop(sqlite_database: Database, declare: Callable[..., Platform]) -> Platform:
    """A shop with one customer and one order a day."""
    sqlite_database.execute("create table customers (customer_no text, full_name text, updated_at text)")
    sqlite_database.execute("create table orders (order_no text, recorded_at text)")
    for day in range(10, 19):
        at = f"2000-12-{day} 10:00:00"
        sqlite_database.execute(f"insert into customers values ('c{day}', 'Ada {day}', '{at}')")
        sqlite_database.execute(f"insert into orders values ('o{day}', '{at}')")
    return declare(sqlite_database.url, TABLES)


def extract(platform: Platform, night: date, settings: Settings) -> list[Manifest]:
    return [extract_table(platform, table, night, open_lake(settings), settings) for table in platform.tables]


def files(lake: Lake, *prefixes: str) -> dict[str, bytes]:
    """The load files under the prefixes, without the records that say where they belong."""
    found = [key for prefix in prefixes or ("",) for key in lake.list(prefix)]
    return {key: lake.read(key)[0] for key in found if not key.endswith("held.json")}


def orders(lake: Lake) -> list[str]:
    keys = [key for key in lake.list("raw/platform=shop/table=orders/") if key.endswith(".parquet")]
    return sorted(value for key in keys for value in pq.read_table(lake.uri(key))["order_no"].to_pylist())


def decide(lake: Lake, decision: Any, as_of: date = SECOND, minute: int = 0) -> None:
    load = held_load(lake, "shop", as_of)
    assert load is not None
    when = datetime(2000, 12, 18, 9, minute, tzinfo=UTC)
    write_decision(
        lake,
        LoadDecision(
            platform="shop", as_of=as_of, digest=load.digest, decision=decision, who="ada", why="it is so", when=when
        ),
    )


def test_a_load_is_put_aside_as_a_whole_and_names_stay_in_the_vault(shop: Platform, any_settings: Settings) -> None:
    lake = open_lake(any_settings)
    extract(shop, FIRST, any_settings)
    before = files(lake)
    extract(shop, SECOND, any_settings)
    digest = load_digest(lake, shop, SECOND)

    load = hold_load(lake, shop, SECOND, ["too many null keys", "a second reason"])
    assert load is not None
    assert (load.digest, load.is_whole, load.is_moving) == (digest, True, False)
    assert load.reasons == ("too many null keys", "a second reason")
    assert [(table.table, table.rows) for table in load.tables] == [("customers", 1), ("orders", 1)]
    assert files(lake, "raw/", "vault/platform=") == before
    assert {key.split("part-")[0].split("_mani")[0] for key in files(lake, "held/", "vault/held/")} == {
        f"held/platform=shop/load_date={SECOND}/table=customers/",
        f"held/platform=shop/load_date={SECOND}/table=orders/",
        f"vault/held/platform=shop/load_date={SECOND}/table=customers/",
    }
    assert held_loads(lake) == held_loads(lake, "shop") == [load]
    assert held_loads(lake, "sho") == []
    assert load_digest(lake, shop, SECOND) is None
    assert hold_load(lake, shop, SECOND, ["again"]) is None


def test_the_next_night_brings_what_was_held_anew(shop: Platform, settings: Settings) -> None:
    lake = open_lake(settings)
    extract(shop, FIRST, settings)
    extract(shop, SECOND, settings)
    held = hold_load(lake, shop, SECOND, ["x"])
    assert held is not None
    assert brought_by(lake, held) is None
    extract(shop, THIRD, settings)
    assert brought_by(lake, held) == THIRD
    assert orders(lake) == [f"o{day}" for day in range(10, 17)]


def test_keys_that_are_gone_are_held_with_their_load(
    sqlite_database: Database, declare: Callable[..., Platform], settings: Settings
) -> None:
    sqlite_database.execute("create table customers (id int)")
    sqlite_database.execute("insert into customers values (1), (2)")
    table = "- {name: customers, meta: {contract: accounts, key: [id]}, columns: [{name: id}]}"
    platform, lake = declare(sqlite_database.url, table), open_lake(settings)
    extract(platform, FIRST, settings)
    sqlite_database.execute("delete from customers where id = 2")
    [load] = extract(platform, SECOND, settings)
    assert hold_load(lake, platform, SECOND, ["a customer is gone"]) is not None
    assert [key for key in files(lake, "gone/platform=") if str(SECOND) in key] == []
    [again] = extract(platform, THIRD, settings)
    assert (load.counts.gone, again.counts.gone) == (1, 1)
    hold_load(lake, platform, THIRD, ["again"])
    decide(lake, "accept")
    settle(lake, "shop")
    gone = gone_keys(lake, manifests(lake, "shop", "customers"), settings).to_pylist()
    assert [(row["load_date"], row["key"]) for row in gone] == [(SECOND, ["2"])]


def test_an_accepted_load_is_back_as_it_was(shop: Platform, any_settings: Settings) -> None:
    lake = open_lake(any_settings)
    extract(shop, FIRST, any_settings)
    extract(shop, SECOND, any_settings)
    before = files(lake)
    hold_load(lake, shop, SECOND, ["x"])
    settle(lake, "shop")
    assert files(lake) != before  # nobody has decided yet

    decide(lake, "accept")
    settle(lake, "shop")
    assert {key: data for key, data in files(lake).items() if "decisions" not in key} == before
    held = held_load(lake, "shop", SECOND)
    assert held is not None
    assert held.lies_in == "raw"
    assert load_digest(lake, shop, SECOND) in accepted_digests(lake)


def test_an_accepted_load_stays_aside_where_a_later_one_brought_its_rows(shop: Platform, settings: Settings) -> None:
    lake = open_lake(settings)
    extract(shop, FIRST, settings)
    extract(shop, SECOND, settings)
    hold_load(lake, shop, SECOND, ["x"])
    extract(shop, THIRD, settings)
    before = files(lake)
    decide(lake, "accept")
    settle(lake, "shop")
    assert {key: data for key, data in files(lake).items() if "decisions" not in key} == before


def test_the_newest_decision_counts_and_all_of_them_stay(shop: Platform, settings: Settings) -> None:
    lake = open_lake(settings)
    extract(shop, FIRST, settings)
    hold_load(lake, shop, FIRST, ["x"])
    decide(lake, "accept", FIRST)
    first = files(lake, "held/decisions/")
    assert accepted_digests(lake)
    decide(lake, "discard", FIRST, minute=1)
    assert not accepted_digests(lake)
    assert first.items() <= files(lake, "held/decisions/").items()
    assert [(made.decision, made.who, made.why) for made in load_decisions(lake)] == [
        ("accept", "ada", "it is so"),
        ("discard", "ada", "it is so"),
    ]


def test_a_discarded_load_leaves_its_record_alone(shop: Platform, any_settings: Settings) -> None:
    lake = open_lake(any_settings)
    extract(shop, FIRST, any_settings)
    load = hold_load(lake, shop, FIRST, ["x"])
    assert load is not None
    discard_bytes(lake, load)
    assert files(lake) == {}
    held = held_load(lake, "shop", FIRST)
    assert held is not None
    assert (held.lies_in, held.reasons) == ("nowhere", ("x",))


def test_a_night_that_is_held_again_leaves_nothing_of_its_earlier_load(
    shop: Platform, sqlite_database: Database, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("infra.platforms.load_files.ROWS_PER_PART", 1)
    lake = open_lake(settings)
    extract(shop, FIRST, settings)
    first = hold_load(lake, shop, FIRST, ["x"])
    sqlite_database.execute("delete from orders where order_no = 'o10'")
    extract(shop, FIRST, settings)
    again = hold_load(lake, shop, FIRST, ["y"])
    assert first is not None
    assert again is not None
    assert first.digest != again.digest
    assert held_loads(lake) == [again]
    assert len(files(lake, "held/")) == len([key for key in again.keys if key.startswith("raw/")])


def test_a_load_without_one_of_its_tables_says_so(shop: Platform, settings: Settings) -> None:
    lake = open_lake(settings)
    extract_table(shop, shop.tables[0], FIRST, lake, settings)
    load = hold_load(lake, shop, FIRST, ["orders could not be read"])
    assert load is not None
    assert not load.is_whole


def test_where_a_held_load_left_a_gap_everything_comes_again_from_there(shop: Platform, settings: Settings) -> None:
    """A night that was run again is held although later nights built on it."""
    lake = open_lake(settings)
    for night in (FIRST, SECOND, THIRD):
        extract(shop, night, settings)
    held = hold_load(lake, shop, SECOND, ["x"])
    assert held is not None
    assert brought_by(lake, held) is None
    first, third = manifests(lake, "shop", "orders")
    assert reached([first, third]) == first.watermark_to
    [_, fourth] = extract(shop, FOURTH, settings)
    assert fourth.watermark_from == first.watermark_to
    assert sorted({*orders(lake)}) == [f"o{day}" for day in range(10, 18)]
    assert brought_by(lake, held) == FOURTH


def test_a_damaged_record_is_named_with_what_to_do(shop: Platform, settings: Settings) -> None:
    lake = open_lake(settings)
    extract(shop, FIRST, settings)
    hold_load(lake, shop, FIRST, ["x"])
    lake.put(f"held/platform=shop/load_date={FIRST}/held.json", b"{")
    with pytest.raises(HeldRecordError, match=r"held\.json is damaged.*Remedy"):
        held_loads(lake)


# --- killed at any line


def hold(lake: Lake, shop: Platform) -> None:
    hold_load(lake, shop, SECOND, ["x"])


def release(lake: Lake, shop: Platform) -> None:
    settle(lake, "shop")


def discard(lake: Lake, shop: Platform) -> None:
    load = held_load(lake, "shop", SECOND)
    assert load is not None
    discard_bytes(lake, load)


def killed_after(writes: int, work: Callable[[], None], monkeypatch: pytest.MonkeyPatch) -> bool:
    """Do the work in a process that dies before its ``writes``-th change of the lake; whether it died."""
    child = os.fork()
    if not child:
        left = iter(range(writes))
        for name in ("put", "move", "delete"):
            change = getattr(LocalLake, name)

            def die_or(*arguments: Any, change: Callable[..., Any] = change) -> Any:
                if next(left, None) is None:
                    os._exit(9)
                return change(*arguments)

            monkeypatch.setattr(LocalLake, name, die_or)
        work()
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9


@pytest.mark.parametrize("work", [hold, release, discard])
def test_a_killed_move_is_finished_by_the_next_run(
    work: Callable[[Lake, Platform], None], shop: Platform, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    template = open_lake(settings)
    extract(shop, FIRST, settings)
    extract(shop, SECOND, settings)
    if work is not hold:
        hold(template, shop)
    if work is release:
        decide(template, "accept")

    def prepared(name: str) -> Lake:
        return LocalLake(Path(shutil.copytree(template.uri(), settings.home / name)))

    whole = prepared("whole")
    work(whole, shop)
    for writes in range(40):
        lake = prepared(f"killed-{writes}")
        died = killed_after(writes, lambda lake=lake: work(lake, shop), monkeypatch)  # type: ignore[misc]
        settle(lake, "shop")
        if load_digest(lake, shop, SECOND) and work is hold:
            hold(lake, shop)  # the rerun of the gate
        if writes == 0 and work is discard:
            discard(lake, shop)  # a command that did nothing yet is given again
        assert files(lake) == files(whole), writes
        held, expected = held_load(lake, "shop", SECOND), held_load(whole, "shop", SECOND)
        assert held is not None
        assert expected is not None
        assert (held.lies_in, held.is_moving) == (expected.lies_in, False)
        if not died:
            break
    assert not died
    assert writes >= 8  # every change of the lake was a point to die at
