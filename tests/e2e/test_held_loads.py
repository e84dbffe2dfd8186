"""A whole night with one held platform: published, yellow, rolled back; and the load that a person accepts."""

import sqlite3
from contextlib import closing
from pathlib import Path

import duckdb

from dags.steps.merge.check_loads import check_loads
from dags.steps.merge.check_reconciliation import check_reconciliation
from dags.steps.night import Night
from dags.steps.records import Delivery
from expectations.gate import GateResult
from infra.report.night import NightSummary
from infra.warehouse import query, run_dbt
from tests.e2e.conftest import FIRST, SECOND, THIRD, TwoNights, crossrec, current, nightly, served, settings_of

STAGED = "select load_date, count(*) as row_count from staging.stg_shop__events group by all order by all"


def test_a_night_with_one_held_platform(home: Path, two_nights: TwoNights) -> None:
    before = current(home)
    with closing(sqlite3.connect(home / "demo" / "shop.sqlite")) as connection, connection:
        # a job of the shop sells nothing but nulls from now on
        connection.execute(
            "insert into order_lines (line_id, order_no, sku, quantity, unit_price, review_score, recorded_at)"
            f" select null, order_no, sku, quantity, unit_price, review_score, '{SECOND} 12:00:00' from order_lines limit 200"
        )
    done = crossrec(home, *nightly(THIRD))
    assert done.returncode == 0, done.stdout + done.stderr
    notice = f"YELLOW: platform 'shop' ships data of {SECOND} (load of {THIRD} held: gate 'loads' expected "
    assert done.stdout.split("✓ report")[1].split("\n", 1)[1].strip().startswith(notice)

    night = Night(THIRD, settings=settings_of(home))
    assert night.read(GateResult, "loads-shop").verdict == "hold"
    assert night.read(Delivery, "stream") == Delivery(data_of=THIRD)
    summary = night.read(NightSummary)
    assert summary.verdict == "warn"
    assert [line.startswith(notice) for line in summary.notices] == [True]
    assert notice.partition(":")[0] in (home / "lake" / night.key("report.html")).read_text()
    # its data are those of the night before, in the lists too, which are made anew of them
    assert {load.as_of for load in night.loads("shop", "order_lines")} == {FIRST, SECOND}
    assert {row["load_date"] for row in query(night.settings, STAGED).to_pylist()} <= {FIRST, SECOND}
    for rows in served(home).values():
        assert {str(row["as_of"]) for row in rows} == {str(THIRD)}
    assert current(home).startswith(str(THIRD))

    rolled = crossrec(home, "rollback", "--apply", "--why", "the shop wants its lists of yesterday")
    assert rolled.returncode == 0, rolled.stdout
    assert current(home) == before
    assert served(home) == two_nights.served[SECOND]

    listed = crossrec(home, "loads", "list")
    assert "order_lines" in listed.stdout
    accepted = crossrec(home, "loads", "accept", "shop", str(THIRD), "--why", "they know of it", "--who", "ada")
    assert accepted.returncode == 0, accepted.stdout
    check_loads(night, "shop")
    run_dbt(night.settings, ["run", "--select", "tag:stage", "tag:prepare"], THIRD)
    assert night.read(Delivery, "shop") == Delivery(data_of=THIRD)
    assert query(night.settings, STAGED).to_pylist()[-1] == {"load_date": THIRD, "row_count": _lines(night)}
    check_reconciliation(night)


def _lines(night: Night) -> int:
    """Rows of the accepted load as its file has them."""
    files = night.lake.uri(f"raw/platform=shop/table=order_lines/load_date={THIRD}/*.parquet")
    [(rows,)] = duckdb.sql(f"select count(*) from read_parquet('{files}')").fetchall()
    return int(rows)
