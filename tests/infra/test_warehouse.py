"""The warehouse has one writer at a time, whoever it is: two processes try."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path

import pytest

from infra.settings import PROJECT_ROOT, Settings
from infra.warehouse import WarehouseError, connect, lock_path, query, run_dbt, unstage

WRITE = """
import sys
from pathlib import Path
from infra.settings import Settings
from infra.warehouse import connect
with connect(Settings(home=Path(sys.argv[1])), read_only=sys.argv[2] == "reads") as warehouse:
    if sys.argv[2] == "writes":
        warehouse.execute("create or replace table numbers as select 1 as number")
    print("open", flush=True)
    sys.stdin.readline()
"""


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    settings = Settings(home=tmp_path)
    with connect(settings, read_only=False) as warehouse:
        warehouse.execute("create table numbers as select 0 as number")
    return settings


@contextmanager
def another_process(settings: Settings, what: str) -> Iterator["subprocess.Popen[str]"]:
    """A process that has opened the warehouse, until the end of the block or a line on its input."""
    command = [sys.executable, "-c", WRITE, str(settings.home), what]
    process = subprocess.Popen(command, cwd=PROJECT_ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "open\n"
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


@pytest.mark.parametrize(("theirs", "read_only"), [("writes", False), ("writes", True), ("reads", False)])
def test_who_cannot_wait_is_told_who_holds_the_warehouse(theirs: str, read_only: bool, settings: Settings) -> None:
    with another_process(settings, theirs) as other:
        holder = rf"process {other.pid} \(writes\)" if theirs == "writes" else "another process"
        with (
            pytest.raises(WarehouseError, match=f"is in use. Received: .*locked by {holder}.*Remedy: let that process"),
            connect(settings, read_only=read_only, wait=0),
        ):
            pass


def test_a_reader_waits_for_the_writer_and_then_reads_what_it_wrote(settings: Settings) -> None:
    with another_process(settings, "writes") as other:
        assert other.stdin is not None
        other.stdin.write("\n")
        other.stdin.flush()
        assert query(settings, "from numbers")["number"].to_pylist() == [1]


def test_readers_read_at_once(settings: Settings) -> None:
    with another_process(settings, "reads"), connect(settings, wait=0) as warehouse:
        assert warehouse.execute("from numbers").fetchall() == [(0,)]


def test_dbt_waits_for_whoever_reads(settings: Settings) -> None:
    """Without the lock, dbt would fail in one model or another."""
    with another_process(settings, "reads"), pytest.raises(WarehouseError, match="is in use"):
        run_dbt(settings, ["seed"], date(2000, 1, 1), wait=0)
    assert not (settings.home / "dbt").exists()


def test_a_program_that_knows_no_lock_is_named_by_duckdb(settings: Settings) -> None:
    foreign = "import duckdb, sys; held = duckdb.connect(sys.argv[1]); print('open', flush=True); sys.stdin.readline()"
    command = [sys.executable, "-c", foreign, str(settings.warehouse_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "open\n"
        with (
            pytest.raises(
                WarehouseError, match=f"cannot be opened. Received: .*{process.pid}.*Remedy: let the program"
            ),
            connect(settings),
        ):
            pass
        process.kill()
    assert lock_path(settings.warehouse_path).name == "warehouse.duckdb.lock"


def test_a_load_leaves_the_staging_of_its_platform_with_all_that_came_after_it(settings: Settings) -> None:
    with connect(settings, read_only=False) as warehouse:
        warehouse.execute("create schema staging")
        for table in ("stg_shop__events", "stg_shop__items", "stg_shopping__events"):
            warehouse.execute(
                f"create table staging.{table} as select date '2000-12-13' + day::int as load_date from range(3) as days (day)"
            )
        warehouse.execute("create table staging.stg_shop__notes as select 1 as number")
    unstage(settings, "shop", date(2000, 12, 14))
    for table, rows in {"stg_shop__events": 1, "stg_shop__items": 1, "stg_shopping__events": 3}.items():
        assert query(settings, f"from staging.{table}").num_rows == rows


def test_nothing_leaves_a_warehouse_that_is_not_there(tmp_path: Path) -> None:
    unstage(Settings(home=tmp_path / "none"), "shop", date(2000, 12, 14))
    assert not (tmp_path / "none" / "warehouse.duckdb").exists()
