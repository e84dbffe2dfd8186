"""What goes wrong at night: one message names the platform or table and the remedy, and yesterday's lists stay up."""

import os
import shutil
import sqlite3
from contextlib import closing
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow.compute as pc
import pytest
from filelock import FileLock
from rich.console import Console

from dags.steps.learn.check_leakage import newest_labelled_snapshot
from dags.steps.learn.check_promotion import check_promotion
from dags.steps.learn.choose_serving_model import choose_serving_model
from dags.steps.learn.evaluate import evaluate
from dags.steps.merge.check_loads import check_loads
from dags.steps.merge.extract import extract
from dags.steps.merge.open_night import NightError, open_night
from dags.steps.night import Night
from dags.steps.records import Delivery, Extracted, JudgedSources, Promotion, ServingModel, WrittenBack
from dags.steps.serve.check_recommendations import check_recommendations
from dags.steps.serve.report import report
from dags.steps.serve.score import score
from expectations.gate import GateResult, GateStopped
from infra.mlflow.registry import Registry
from infra.platforms import PlatformError
from infra.publications import current_publication, published_lists
from infra.report.facts import JudgedSource
from infra.report.night import NightSummary
from infra.report.terminal import print_summary
from infra.settings import Settings
from infra.warehouse import connect
from tests.e2e.conftest import FIRST, SECOND, THIRD, NightOf, TwoNights, crossrec, nightly, served, settings_of
from tests.e2e.locks import locked
from tests.servers import Server

LONG_AGO = date(1990, 1, 1)


def airflow(home: Path, sql: str, as_of: date) -> list[tuple[Any, ...]]:
    """What Airflow's database says; ``$run`` is the newest run of the night of ``as_of``."""
    newest = "(select run_id from dag_run where date(logical_date) = :as_of order by id desc limit 1)"
    with closing(sqlite3.connect(home / "airflow" / "airflow.db")) as connection:
        return connection.execute(sql.replace("$run", newest), {"as_of": as_of.isoformat()}).fetchall()


def shop(home: Path, sql: str) -> None:
    with closing(sqlite3.connect(home / "demo" / "shop.sqlite")) as connection, connection:
        connection.executescript(sql)


@pytest.fixture
def first_of_all(home: Path, tmp_path: Path) -> Night:
    """The first night in a home of its own, over the copy's platforms."""
    return Night(FIRST, settings=Settings(home=tmp_path / "fresh", demo=home / "demo"))


# --- a platform that cannot be read


def goes_on(night: Night, platform: str) -> str:
    """Extract and gate: the platform goes on with the data of the night before. The error of the table that failed."""
    extract(night, platform)
    check_loads(night, platform)
    assert night.read(GateResult, f"loads-{platform}").verdict == "warn"
    assert {load.as_of for table in night.platforms[platform].tables for load in night.loads(platform, table.name)} == {
        FIRST,
        SECOND,
    }
    loads = night.read(Extracted, platform).loads
    assert {load.stale for load in loads} == {True}
    assert night.read(Delivery, platform).data_of == SECOND
    [error] = [load.error for load in loads if load.error]
    return error


@pytest.mark.usefixtures("nothing_published")
def test_a_missing_database(night_of: NightOf, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CROSSREC_SHOP_URL", "sqlite:////nowhere/shop.sqlite")
    error = goes_on(night_of(THIRD), "shop")
    assert "platform 'shop': the database file is missing" in error
    assert "/nowhere/shop.sqlite" in error
    assert "Remedy: set CROSSREC_SHOP_URL" in error
    extract(night_of(THIRD), "forum")  # the others do not mind


def test_a_missing_database_before_it_was_ever_loaded(first_of_all: Night, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CROSSREC_SHOP_URL", "sqlite:////nowhere/shop.sqlite")
    with pytest.raises(PlatformError, match="platform 'shop': the database file is missing") as error:
        extract(first_of_all, "shop")
    assert not error.value.retryable


@pytest.mark.parametrize("platform", ["shop", "stream"])
def test_a_database_that_is_locked_before_it_was_ever_loaded(platform: str, home: Path, first_of_all: Night) -> None:
    with locked(platform, home), pytest.raises(PlatformError, match="is locked by another process") as error:
        extract(first_of_all, platform)
    assert f"platform '{platform}', table" in str(error.value)
    assert "Remedy: wait until its writer is done" in str(error.value)


def test_a_platform_that_is_down_ships_its_last_good_load_and_the_summary_says_so(
    home: Path, night_of: NightOf
) -> None:
    night = night_of(SECOND)
    for folder in (home / "lake").glob(f"*/platform=shop/table=*/load_date={SECOND}"):  # in raw and in the vault
        shutil.rmtree(folder)
    with locked("shop", home):
        extract(night, "shop")
    assert [load.stale for load in night.read(Extracted, "shop").loads] == [True] * 4

    check_loads(night, "shop")
    gate = night.read(GateResult, "loads-shop")
    assert gate.verdict == "warn"
    assert any("orders (1)" in check.observed for check in gate.failed)

    report(night)
    summary = night.read(NightSummary)
    assert {row.platform: row.stale_days for row in summary.funnel} == {"forum": 0, "shop": 1, "stream": 0}
    console = Console(record=True, width=160, file=open(os.devnull, "w"))  # noqa: SIM115
    print_summary(summary, console)
    assert (
        console.export_text()
        .strip()
        .startswith(f"YELLOW: platform 'shop' ships data of {FIRST} (no load of {SECOND}: ")
    )


@pytest.mark.usefixtures("nothing_published")
def test_its_last_good_load_stands_in_at_the_last_try_only(home: Path, night_of: NightOf) -> None:
    night = night_of(THIRD)
    with locked("shop", home), pytest.raises(PlatformError, match="is locked by another process") as error:
        extract(night, "shop", last_try=False)
    assert error.value.retryable
    assert night.find(Extracted, "shop") is None
    extract(night, "shop", last_try=False)
    assert [load.stale for load in night.read(Extracted, "shop").loads] == [False] * 4


def test_a_platform_that_is_down_for_too_long_keeps_its_lists_and_the_others_get_new_ones(
    home: Path, two_nights: TwoNights
) -> None:
    """The whole night in Airflow: it tries, goes on without the platform, and says so in the first line of its summary."""
    as_of = date(1998, 3, 20)  # four days after its last load; it declares three
    with locked("stream", home):
        done = crossrec(home, *nightly(as_of))
    assert done.returncode == 0, done.stdout + done.stderr
    said = "platform 'stream', table 'viewers': the database is locked by another process"
    assert f"! extract [stream] is tried again: {said}" in done.stdout
    assert "✓ extract [stream]" in done.stdout
    notice = (
        f"YELLOW: platform 'stream' keeps its published lists, as its data of {SECOND} are older than its max_staleness_days "
        f"(no load of {as_of}: {said})"
    )
    assert done.stdout.split("✓ report")[1].split("\n", 1)[1].strip().splitlines()[0] == notice
    assert f"! the night of {as_of}" in done.stdout

    [(tries,)] = airflow(
        home,
        "select try_number from task_instance where run_id = $run and task_id = 'extract' and map_index ="
        " (select max(map_index) from task_instance where run_id = $run and task_id = 'extract')",
        as_of,
    )
    assert tries == 3
    assert "Traceback" not in done.stdout + done.stderr

    now, before = served(home), two_nights.served[SECOND]
    assert now["stream"] == before["stream"]
    for platform in ("forum", "shop"):
        assert {str(row["as_of"]) for row in now[platform]} == {str(as_of)}
    night = Night(as_of, settings=settings_of(home))
    assert night.find(WrittenBack, "stream") is None
    publication, _ = current_publication(night.lake)
    assert publication is not None
    assert publication.as_of == as_of.isoformat()
    lists = published_lists(night.lake, publication).to_pylist()
    kept = [row for row in lists if row["platform"] == "stream"]
    assert [(row["account_id"], row["rank"], row["item_id"]) for row in kept] == [
        (row["account_id"], row["rank"], row["item_id"]) for row in before["stream"]
    ]


@pytest.mark.usefixtures("nothing_published")
def test_wrong_credentials(postgres_server: Server, night_of: NightOf, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CROSSREC_SHOP_URL", postgres_server.url(postgres_server.first_database, password="pass-word"))
    error = goes_on(night_of(THIRD), "shop")
    assert "the credentials were refused" in error
    assert "platform 'shop', table 'customers'" in error
    assert "Remedy: check user, password and rights in the URL of CROSSREC_SHOP_URL" in error
    assert "pass-word" not in error


@pytest.mark.usefixtures("nothing_published")
@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("alter table order_lines rename to lines", "table 'order_lines': the source has no such table"),
        (
            "alter table order_lines drop column review_score",
            "table 'order_lines': the source has no column 'review_score'",
        ),
    ],
)
def test_a_missing_table_or_column(change: str, said: str, home: Path, night_of: NightOf) -> None:
    shop(home, change)
    error = goes_on(night_of(THIRD), "shop")
    assert f"platform 'shop', {said}" in error
    assert "Remedy: " in error


EMPTY = "delete from customers; delete from products; delete from orders; delete from order_lines"


def test_a_platform_that_was_always_empty_stops_with_its_tables_named(home: Path, first_of_all: Night) -> None:
    shop(home, EMPTY)
    for platform in first_of_all.platforms:
        extract(first_of_all, platform)
    check_loads(first_of_all, "forum")
    check_loads(first_of_all, "stream")
    with pytest.raises(GateStopped) as error:
        check_loads(first_of_all, "shop")
    assert "platform 'shop'" in str(error.value)
    assert "rows in every table, tonight or before" in str(error.value)
    for table in ("customers", "products", "orders", "order_lines"):
        assert table in str(error.value)


@pytest.mark.usefixtures("nothing_published")
def test_a_platform_that_went_empty_ships_what_it_had(home: Path, night_of: NightOf) -> None:
    shop(home, EMPTY)
    night = night_of(THIRD)
    extract(night, "shop")
    assert {load.rows for load in night.read(Extracted, "shop").loads} == {0}
    check_loads(night, "shop")


# --- weeks and models that nothing can judge


@pytest.mark.usefixtures("nothing_published")
def test_a_held_out_week_without_positive_interactions_keeps_the_champion(night_of: NightOf) -> None:
    night = night_of(SECOND)
    champion = Registry(night.settings).champion()
    with connect(night.settings, read_only=False) as warehouse:
        warehouse.execute("delete from marts.training_examples where as_of = '1998-03-05'")
        warehouse.execute("delete from marts.evaluation_relevant")
    evaluate(night)
    check_promotion(night)
    choose_serving_model(night)
    gate = night.read(GateResult, "promotion")
    assert gate.verdict == "warn"
    assert gate.checks[0].observed == (
        "keep: there is nothing to judge the challenger by: nobody with candidates had a new positive interaction in the "
        "7 days from 1998-03-05"
    )
    assert champion is not None
    assert Registry(night.settings).champion() == champion
    assert night.read(ServingModel) == ServingModel(version=champion.version, run_id=champion.run_id)
    assert newest_labelled_snapshot(night) == date(1998, 2, 26)
    night.write(JudgedSources(judged=(JudgedSource(source="forum", target="shop", people=0),), excluded={}))
    report(night)
    summary = night.read(NightSummary)
    assert summary.promotion.startswith("keep: there is nothing to judge the challenger by")
    assert not summary.metrics


@pytest.mark.usefixtures("nothing_published")
def test_platforms_on_which_nothing_was_judged_are_named(night_of: NightOf) -> None:
    night = night_of(SECOND)
    with connect(night.settings, read_only=False) as warehouse:
        for table in ("training_examples", "evaluation_relevant"):
            warehouse.execute(f"delete from marts.{table} where as_of = '1998-03-05' and platform != 'forum'")
    evaluate(night)
    check_promotion(night)
    reasons = night.read(Promotion).reasons
    assert reasons[-1] == "warning: nothing was judged on shop, stream, without any positive interaction there"


@pytest.mark.usefixtures("nothing_published")
def test_a_feature_that_the_champion_knows_and_the_mart_lacks(night_of: NightOf) -> None:
    night = night_of(SECOND)
    with connect(night.settings, read_only=False) as warehouse:
        warehouse.execute("alter table marts.candidates drop column ease_reciprocal_rank")
    with pytest.raises(
        ValueError, match=r"candidates lacks 1 of the model's \d+ feature columns: \['ease_reciprocal_rank'\]"
    ):
        score(night, 0)


@pytest.mark.usefixtures("nothing_published")
def test_a_platform_of_which_nothing_is_available_stops_with_its_name(night_of: NightOf) -> None:
    night = night_of(SECOND)
    lists = night.read_table(night.key("lists.parquet"))
    night.write_table(night.key("lists.parquet"), lists.filter(pc.not_equal(lists["platform"], "shop")))
    with connect(night.settings, read_only=False) as warehouse:
        warehouse.execute("update marts.product_items set is_available = false where platform = 'shop'")
    with pytest.raises(GateStopped) as error:
        check_recommendations(night)
    assert "for platform 'shop'" in str(error.value)
    assert "whether the platform says of any item that it is available" in str(error.value)


# --- a night that cannot be


def test_a_night_before_all_data_says_what_there_is(first_of_all: Night) -> None:
    long_ago = Night(LONG_AGO, settings=first_of_all.settings)
    with pytest.raises(NightError) as error:
        open_night(long_ago)
    said = str(error.value)
    assert "no platform has events before the night of 1990-01-01" in said
    for platform in ("forum", "shop", "stream"):
        assert f"platform '{platform}' from 1997-09-" in said
    assert "Remedy: choose a night after 1997-09-20" in said
    assert open_night(first_of_all) == ["forum", "shop", "stream"]


@pytest.mark.usefixtures("nothing_published")
def test_a_red_night_ends_soon_in_one_message_and_airflow_knows_why(home: Path) -> None:
    done = crossrec(home, *nightly(LONG_AGO))
    assert done.returncode == 1
    assert done.stdout.count("no platform has events before the night of 1990-01-01") == 1
    assert "✗ open_night" in done.stdout
    assert "what was published before stays up" in done.stdout
    assert "Traceback" not in done.stdout + done.stderr
    log = home / "logs" / f"nightly-{LONG_AGO}.log"
    assert str(log) in done.stdout
    assert "no platform has events before" in log.read_text()
    airflow_knows_why(home)


def airflow_knows_why(home: Path) -> None:
    """The night of `LONG_AGO` failed in its first task, blocked all others, and ended within seconds."""
    states = dict(airflow(home, "select task_id, state from task_instance where run_id = $run", LONG_AGO))
    assert states.pop("open_night") == "failed"
    assert set(states.values()) == {"upstream_failed"}
    assert len(states) > 10
    [(state, seconds)] = airflow(
        home,
        "select dag_run.state, 86400 * (julianday(dag_run.end_date) - julianday(task_instance.end_date))"
        " from dag_run join task_instance using (run_id) where run_id = $run and task_id = 'open_night'",
        LONG_AGO,
    )
    assert state == "failed"
    assert seconds < 5


@pytest.mark.usefixtures("nothing_published")
def test_a_second_night_at_the_same_time(home: Path) -> None:
    with FileLock(home / "night.lock"):
        done = crossrec(home, *nightly(THIRD))
    assert done.returncode == 1
    assert "another night or `crossrec up` is running" in done.stdout
    assert "Remedy: wait until it is done" in done.stdout
    assert not list((home / "lake" / "raw").glob(f"*/*/load_date={THIRD}"))
