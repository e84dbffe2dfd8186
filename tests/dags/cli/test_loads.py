"""`crossrec loads` over a small shop whose load of one night is held, and the DAG of the same name."""

from collections.abc import Callable

import pytest
from typer.testing import CliRunner, Result

from dags.cli import app
from dags.cli.terminal import console
from dags.steps.merge.check_loads import check_loads
from dags.steps.merge.held_loads import HeldLoadError, carry_out
from dags.steps.records import Delivery
from expectations.gate import GateResult
from infra.platforms import held_load
from infra.platforms.held import load_decisions
from tests.dags.shop import FIRST, LOST_KEYS, SECOND, THIRD, Shop

Run = Callable[..., Result]


@pytest.fixture
def held(shop: Shop) -> Shop:
    shop.run(FIRST)
    shop.sql(LOST_KEYS)
    shop.run(SECOND)
    return shop


@pytest.fixture
def loads(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.setenv("CROSSREC_HOME", str(shop.home))
    monkeypatch.setenv("CROSSREC_DEMO", str(shop.home / "demo"))
    monkeypatch.setattr(console, "_width", 250)  # it took the width of the terminal when it was made
    return lambda *arguments: CliRunner().invoke(app, ["loads", *arguments])


DECIDED = ("shop", str(SECOND), "--why", "the till was broken", "--who", "ada")


def test_nothing_is_held(loads: Run) -> None:
    done = loads("list")
    assert done.exit_code == 0
    assert done.output.strip() == "no load is held"


@pytest.mark.usefixtures("held")
def test_list_names_platform_night_tables_rows_state_and_reason(loads: Run) -> None:
    done = loads("list")
    assert done.exit_code == 0
    for wanted in ("shop", "2000-12-16", "customers, orders", "101", "held", "without a key; found orders (20.0%)"):
        assert wanted in done.output


@pytest.mark.usefixtures("held")
def test_show_says_everything_about_one_load(loads: Run) -> None:
    done = loads("show", "shop", str(SECOND))
    assert "platform 'shop', load of 2000-12-16 (customers 1, orders 100 rows): held" in done.output
    assert "  - gate 'loads' expected at most 2.0% of a table's rows without a key; found orders (20.0%)" in done.output
    loads("accept", *DECIDED)
    done = loads("show", "shop", str(SECOND))
    assert ": accepted, comes with the next night" in done.output
    assert "accept by ada, because: the till was broken" in done.output


def test_an_accepted_load_comes_with_the_next_night(loads: Run, held: Shop) -> None:
    done = loads("accept", *DECIDED)
    assert done.exit_code == 0, done.output
    assert "the load of platform 'shop' of 2000-12-16 is accepted; the next night takes it in" in done.output
    assert [load.as_of for load in held.night(THIRD).loads("shop", "orders")] == [FIRST]

    night = held.run(THIRD)
    assert [load.as_of for load in night.loads("shop", "orders")] == [FIRST, SECOND, THIRD]
    assert [load.rows for load in night.loads("shop", "orders")] == [500, 100, 100]
    assert night.read(Delivery, "shop") == Delivery(data_of=THIRD)
    assert "accepted" in loads("list").output
    refused = loads("accept", *DECIDED)
    assert isinstance(refused.exception, HeldLoadError)
    assert "is in use already" in str(refused.exception)


def test_an_accepted_load_passes_the_gate_of_its_own_night(loads: Run, held: Shop) -> None:
    loads("accept", *DECIDED)
    night = held.night(SECOND)
    check_loads(night, "shop")  # the task is cleared
    gate = night.read(GateResult, "loads-shop")
    assert (gate.verdict, gate.load) == ("warn", "accepted")
    assert night.read(Delivery, "shop") == Delivery(data_of=SECOND)
    held.run(SECOND)  # the whole night again extracts the same load anew
    assert night.read(GateResult, "loads-shop").load == "accepted"
    assert len(night.loads("shop", "orders")) == 2


def test_another_load_of_that_night_is_judged_anew(loads: Run, held: Shop) -> None:
    loads("accept", *DECIDED)
    held.sql("update orders set recorded_at = '2000-12-15 11:00:00' where order_no is null")
    night = held.run(SECOND)
    assert night.read(GateResult, "loads-shop").load == "held"


def test_a_load_whose_rows_came_later_is_superseded(loads: Run, held: Shop) -> None:
    held.sql("update orders set order_no = 'o' || rowid where order_no is null")
    held.run(THIRD)
    assert "superseded by the load of 2000-12-17" in loads("list").output
    refused = loads("accept", *DECIDED)
    assert "is superseded: the load of 2000-12-17 has brought everything" in str(refused.exception)
    assert load_decisions(held.night(SECOND).lake) == []
    assert loads("discard", *DECIDED).exit_code == 0


def test_a_discarded_load_is_gone_and_its_record_stays(loads: Run, held: Shop) -> None:
    lake = held.night(SECOND).lake
    done = loads("discard", *DECIDED)
    assert done.exit_code == 0, done.output
    assert [key for key in lake.list("held/") if key.endswith(".parquet")] == []
    record = held_load(lake, "shop", SECOND)
    assert record is not None
    assert record.reasons
    assert "discarded" in loads("list").output
    assert "discard by ada, because: the till was broken" in loads("show", "shop", str(SECOND)).output
    for decision in ("accept", "discard"):
        assert "is discarded already" in str(loads(decision, *DECIDED).exception)


def test_a_load_that_is_not_whole_cannot_be_accepted(loads: Run, shop: Shop) -> None:
    shop.run(FIRST)
    shop.sql("alter table orders rename column order_no to number")
    shop.run(SECOND)
    refused = loads("accept", *DECIDED)
    assert "is not whole, for another table could not be read. Received: accept, of tables 'customers'" in str(
        refused.exception
    )


@pytest.mark.usefixtures("held")
@pytest.mark.parametrize("command", ["show", "accept", "discard"])
def test_a_load_that_is_not_held_is_named_with_those_that_are(command: str, loads: Run) -> None:
    refused = loads(command, "forum", "2000-12-16", *(DECIDED[2:] if command != "show" else ()))
    assert isinstance(refused.exception, HeldLoadError)
    assert "no load of platform 'forum' of 2000-12-16 is held. Received: held loads: shop 2000-12-16" in str(
        refused.exception
    )


def test_the_dag_shows_and_decides(held: Shop, loads: Run, caplog: pytest.LogCaptureFixture) -> None:
    assert loads("list").exit_code == 0  # the fixture sets the home
    caplog.set_level("INFO")
    carry_out("show", None, None, None, None)
    assert "platform 'shop', load of 2000-12-16 (customers 1, orders 100 rows): held" in caplog.text
    with pytest.raises(HeldLoadError, match="a decision needs who, why"):
        carry_out("accept", "shop", "2000-12-16", None, " ")
    carry_out("accept", "shop", "2000-12-16", "ada", "it is so")
    [made] = load_decisions(held.night(SECOND).lake)
    assert (made.platform, made.as_of, made.decision, made.who, made.why) == (
        "shop",
        SECOND,
        "accept",
        "ada",
        "it is so",
    )
