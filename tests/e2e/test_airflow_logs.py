"""A night by command, as Airflow's UI shows it afterwards: each task's log and true times."""

import json
import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.e2e.conftest import TwoNights


@pytest.fixture(scope="module")
def runs(two_nights: TwoNights) -> list[sqlite3.Row]:
    with closing(sqlite3.connect(two_nights.home / "airflow" / "airflow.db")) as airflow:
        airflow.row_factory = sqlite3.Row
        return airflow.execute("select run_id, start_date, end_date from dag_run order by start_date").fetchall()


def lines(two_nights: TwoNights, run_id: str, task: str) -> list[dict[str, Any]]:
    log = two_nights.home / "airflow" / "logs" / "dag_id=nightly" / f"run_id={run_id}" / task / "attempt=1.log"
    return [json.loads(line) for line in log.read_text().splitlines()]


def test_a_night_by_command_has_the_time_at_which_it_ran(runs: list[sqlite3.Row]) -> None:
    assert len(runs) == 2
    for run in runs:
        started, ended = (datetime.fromisoformat(run[when]).replace(tzinfo=UTC) for when in ("start_date", "end_date"))
        assert datetime.now(UTC) - timedelta(hours=6) < started < ended < datetime.now(UTC)
        assert ended - started < timedelta(hours=1)


def test_the_log_of_each_task_opens_where_airflow_looks_for_it(two_nights: TwoNights, runs: list[sqlite3.Row]) -> None:
    run_id = runs[0]["run_id"]
    [*_, last] = lines(two_nights, run_id, "task_id=open_night")
    assert (last["level"], last["event"], last["logger"]) == (
        "info",
        "the night of 1998-03-15: forum, shop, stream",
        "dags.steps.merge.open_night",
    )
    assert datetime.fromisoformat(last["timestamp"]).tzinfo
    shards = [lines(two_nights, run_id, f"task_id=score/map_index={shard}") for shard in (0, 1)]
    assert all(shards)


def test_every_node_of_dbt_is_in_the_log_with_its_time(two_nights: TwoNights, runs: list[sqlite3.Row]) -> None:
    nodes = [line["event"] for line in lines(two_nights, runs[0]["run_id"], "task_id=build_candidates")]
    built = [node for node in nodes if node.startswith("dbt ")]
    total = int(built[0].split()[1].partition("/")[2])
    assert len(built) == total
    assert any(node.split()[2] == "candidates" and node.endswith(" s") for node in built)
    assert "retracing" not in json.dumps(nodes)
