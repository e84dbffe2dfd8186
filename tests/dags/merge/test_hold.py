"""A load that must not pass is held: the platform goes on with its last good data, and nothing is lost in the end."""

from collections.abc import Callable

import duckdb
import pytest

from dags.steps.merge.check_loads import check_loads
from dags.steps.merge.extract import extract
from dags.steps.merge.hold import hold_or_stop
from dags.steps.night import Night
from dags.steps.records import Delivery, Extracted
from expectations.gate import CheckResult, GateResult, GateStopped
from infra.platforms import PlatformError, held_load, held_loads
from infra.platforms.held import _move_if_there
from infra.warehouse import query
from tests.dags.shop import FIRST, FOURTH, LOST_KEYS, SECOND, THIRD, Shop

REPAIRED = "update orders set order_no = 'o15-' || printf('%03d', rowid % 100) where order_no is null"


def result(night: Night, severity: str) -> GateResult:
    check = CheckResult(
        description="purchases as usual", expectation="x", severity=severity, success=False, observed="none"
    )
    return GateResult(gate="contents", platform="shop", as_of=night.as_of, checks=(check,))


def test_a_platform_that_delivers_is_not_stale(shop: Shop) -> None:
    for as_of in (FIRST, SECOND):
        delivery = shop.run(as_of).read(Delivery, "shop")
        assert delivery == Delivery(data_of=as_of)
        assert delivery.notice("shop", as_of) == ""
    assert held_loads(shop.night(SECOND).lake) == []


def test_a_load_without_keys_is_held_and_the_night_goes_on_with_the_last_good_one(shop: Shop) -> None:
    shop.run(FIRST)
    shop.sql(LOST_KEYS)
    night = shop.run(SECOND)
    gate = night.read(GateResult, "loads-shop")
    assert (gate.verdict, gate.load) == ("hold", "held")
    assert [load.as_of for table in ("customers", "orders") for load in night.loads("shop", table)] == [FIRST, FIRST]
    held = held_load(night.lake, "shop", SECOND)
    assert held is not None
    assert held.is_whole
    assert held.reasons == gate.reasons
    delivery = night.read(Delivery, "shop")
    assert (delivery.data_of, delivery.is_held, delivery.is_frozen) == (FIRST, True, False)
    assert delivery.notice("shop", SECOND) == (
        "YELLOW: platform 'shop' ships data of 2000-12-15 (load of 2000-12-16 held: gate 'loads' expected at most 2.0% of a "
        "table's rows without a key; found orders (20.0%))"
    )


def test_a_platform_that_never_had_a_good_load_stops_the_night(shop: Shop) -> None:
    shop.sql("update orders set order_no = null")
    with pytest.raises(GateStopped, match="gate 'loads' stopped the night of 2000-12-15 for platform 'shop'"):
        shop.run(FIRST)
    assert shop.night(FIRST).read(GateResult, "loads-shop").verdict == "stop"
    assert shop.night(FIRST).find(Delivery, "shop") is None
    shop.sql("update orders set order_no = 'o' || rowid")
    assert shop.run(SECOND).read(Delivery, "shop") == Delivery(data_of=SECOND)
    assert len(shop.orders()) == 600  # what the first night could not use came with the second


def test_when_the_source_is_repaired_the_next_night_brings_everything(
    shop: Shop, new_shop: Callable[[str], Shop]
) -> None:
    healthy = new_shop("healthy")
    for as_of in (FIRST, SECOND, THIRD):
        healthy.run(as_of)
    shop.run(FIRST)
    shop.sql(LOST_KEYS)
    shop.run(SECOND)
    shop.sql(REPAIRED)
    assert shop.run(THIRD).read(Delivery, "shop") == Delivery(data_of=THIRD)
    assert shop.orders() == healthy.orders()
    for table in ("customers", "orders"):
        rows = [sum(load.rows for load in home.night(THIRD).loads("shop", table)) for home in (shop, healthy)]
        assert rows[0] == rows[1]


def test_the_same_night_again_after_the_repair_takes_its_own_load(shop: Shop) -> None:
    shop.run(FIRST)
    shop.sql(LOST_KEYS)
    shop.run(SECOND)
    shop.sql(REPAIRED)
    night = shop.run(SECOND)
    assert night.read(Delivery, "shop") == Delivery(data_of=SECOND)
    assert night.read(GateResult, "loads-shop").verdict == "pass"


def test_beyond_its_max_staleness_the_platform_is_frozen_and_the_night_goes_on(shop: Shop) -> None:
    shop.run(FIRST)
    shop.sql("update orders set order_no = null where recorded_at >= '2000-12-15'")
    found = [shop.run(as_of).read(Delivery, "shop") for as_of in (SECOND, THIRD, FOURTH)]
    assert [delivery.data_of for delivery in found] == [FIRST] * 3
    assert [delivery.is_frozen for delivery in found] == [False, False, True]
    assert "keeps its published lists, as its data of 2000-12-15 are older than its max_staleness_days" in found[
        -1
    ].notice("shop", FOURTH)


def test_what_an_earlier_run_of_the_night_staged_leaves_staging(shop: Shop) -> None:
    shop.run(FIRST)
    night = shop.run(SECOND)
    with duckdb.connect(str(night.settings.warehouse_path)) as warehouse:
        warehouse.execute(
            "create schema staging; create table staging.stg_shop__events as"
            " select unnest([date '2000-12-15', date '2000-12-16']) as load_date"
        )
    hold_or_stop(night, "shop", result(night, "stop"))
    assert query(night.settings, "from staging.stg_shop__events").to_pylist() == [{"load_date": FIRST}]
    assert night.read(GateResult, "contents-shop").verdict == "hold"
    assert night.read(Delivery, "shop").because == "gate 'contents' expected purchases as usual; found none"


def test_a_warning_holds_nothing(shop: Shop) -> None:
    shop.run(FIRST)
    night = shop.run(SECOND)
    hold_or_stop(night, "shop", result(night, "warn"))
    assert held_loads(night.lake) == []
    assert night.read(Delivery, "shop") == Delivery(data_of=SECOND)


# --- what cannot be read


def test_a_missing_column_leaves_the_platform_with_its_last_good_data(shop: Shop) -> None:
    shop.run(FIRST)
    shop.sql("alter table orders rename column order_no to number")
    night = shop.run(SECOND)
    assert [(load.stale, bool(load.error)) for load in night.read(Extracted, "shop").loads] == [
        (True, False),
        (True, True),
    ]
    assert [load.as_of for load in night.loads("shop", "customers")] == [FIRST]  # no table is newer than another
    held = held_load(night.lake, "shop", SECOND)
    assert held is not None
    assert not held.is_whole
    delivery = night.read(Delivery, "shop")
    assert delivery.notice("shop", SECOND) == (
        "YELLOW: platform 'shop' ships data of 2000-12-15 (load of 2000-12-16 held: platform 'shop', table 'orders': the source "
        "has no column 'order_no')"
    )
    assert night.read(GateResult, "loads-shop").verdict == "warn"


def test_a_platform_out_of_reach_is_as_stale_as_one_that_is_held(shop: Shop) -> None:
    shop.run(FIRST)
    (shop.home / "demo" / "shop.sqlite").rename(shop.home / "away.sqlite")
    night = shop.run(SECOND)
    assert held_loads(night.lake) == []
    delivery = night.read(Delivery, "shop")
    assert (delivery.data_of, delivery.is_held) == (FIRST, False)
    assert "(no load of 2000-12-16: platform 'shop': the database file is missing)" in delivery.notice("shop", SECOND)


def test_a_platform_that_was_never_loaded_and_cannot_be_read_fails(shop: Shop) -> None:
    shop.sql("alter table orders rename column order_no to number")
    with pytest.raises(PlatformError, match="has no column 'order_no'"):
        extract(shop.night(FIRST), "shop")
    assert shop.night(FIRST).loads("shop", "customers") == []  # nothing counts that no gate has seen


def test_a_full_disk_harms_everybody_and_holds_nothing(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    shop.run(FIRST)
    full = PlatformError("shop", "orders", "the disk is full", received="OSError", remedy="free space")

    def no_space(*_: object) -> None:
        raise full

    monkeypatch.setattr("dags.steps.merge.extract.extract_table", no_space)
    with pytest.raises(PlatformError, match="the disk is full"):
        extract(shop.night(SECOND), "shop")
    assert shop.night(SECOND).find(Extracted, "shop") is None


# --- killed


@pytest.mark.parametrize("task", [extract, check_loads])
def test_a_hold_that_was_killed_is_finished_by_the_next_task(
    task: Callable[[Night, str], None], shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed between two of the load's tables: the moves that were done are done, and no table is newer than another."""
    shop.run(FIRST)
    night = shop.night(SECOND)
    shop.sql(LOST_KEYS)
    extract(night, "shop")
    with monkeypatch.context() as patch:
        patch.setattr("infra.platforms.held._move_if_there", killed_at_the_second_key())
        with pytest.raises(KeyboardInterrupt):
            check_loads(night, "shop")
    assert len(night.loads("shop", "customers")) + len(night.loads("shop", "orders")) == 3

    task(night, "shop")
    check_loads(night, "shop")
    assert [load.as_of for table in ("customers", "orders") for load in night.loads("shop", table)] == [FIRST, FIRST]
    assert night.read(Delivery, "shop").is_held


def killed_at_the_second_key() -> Callable[..., None]:
    done: list[str] = []

    def move(lake: object, source: str, target: str) -> None:
        if done:
            raise KeyboardInterrupt
        done.append(source)
        _move_if_there(lake, source, target)  # type: ignore[arg-type]

    return move
