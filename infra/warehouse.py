"""The warehouse that dbt builds: a DuckDB file, one writer at a time."""

import logging
import os
import re
import textwrap
from collections.abc import Callable, Sequence
from contextlib import contextmanager
from datetime import date
from typing import TYPE_CHECKING, Any

import duckdb
import pyarrow as pa

from infra.lake import open_lake
from infra.settings import PROJECT_ROOT, Settings

if TYPE_CHECKING:
    from collections.abc import Iterator

DBT_PROJECT = PROJECT_ROOT / "dbt_project"
log = logging.getLogger("crossrec")


class WarehouseError(RuntimeError):
    """The warehouse could not be opened or built; the message says why and what to do."""


@contextmanager
def connect(settings: Settings, *, read_only: bool = True) -> "Iterator[duckdb.DuckDBPyConnection]":
    """A connection to the warehouse, closed at the end of the block.

    Raises:
        WarehouseError: the file is not there yet, or another process writes to it.
    """
    path = settings.warehouse_path
    if read_only and not path.exists():
        raise WarehouseError(f"warehouse {path} is not there. Received: no file. Remedy: run `crossrec nightly` first.")
    try:
        connection = duckdb.connect(
            str(path),
            read_only=read_only,
            config={"memory_limit": settings.duckdb_memory_limit, "threads": settings.threads},
        )
    except duckdb.IOException as error:
        raise WarehouseError(
            f"warehouse {path} cannot be opened. Received: {str(error).splitlines()[0]} "
            "Remedy: let the other night, or the program that holds the file, finish, and run the task again."
        ) from error
    connection.execute("set TimeZone = 'UTC'")
    try:
        yield connection
    finally:
        connection.close()


def query(settings: Settings, sql: str, parameters: Sequence[object] | dict[str, object] | None = None) -> pa.Table:
    """Read ``sql`` (with ``parameters`` bound by DuckDB) as an Arrow table."""
    with connect(settings) as connection:
        table: pa.Table = connection.execute(sql, parameters).to_arrow_table()
        return table


def query_with_sequences(
    settings: Settings, sql: str, parameters: Sequence[object] | dict[str, object] | None = None
) -> pa.Table:
    """Like `query`, and ``sql`` may join `sequences`: mart `person_sequences`, whose columns of text come back as dictionaries.

    As text each sequence would come back beside every candidate of its person: gigabytes of the same.
    """
    with connect(settings) as connection:
        columns = connection.execute(
            "select column_name from information_schema.columns where table_schema = 'marts'"
            " and table_name = 'person_sequences' and column_name not in ('as_of', 'person_id', 'platform')"
        ).fetchall()
        names = [f'"{name}"' for (name,) in columns]
        for name in names:
            distinct = f"select distinct {name} from marts.person_sequences where {name} is not null order by all"
            connection.execute(f"create temporary type {name} as enum ({distinct})")
        typed = ", ".join(f"{name}::{name} as {name}" for name in names)
        connection.execute(f"create temporary view sequences as select * replace ({typed}) from marts.person_sequences")
        table: pa.Table = connection.execute(sql, parameters).to_arrow_table()
        return table


def run_dbt(
    settings: Settings,
    arguments: Sequence[str],
    as_of: date,
    on_node: Callable[[str, int, int], None] | None = None,
    log_level: str = "none",
) -> None:
    """Run dbt in this process, for the night of ``as_of``, with the project, its profile and the settings.

    ``on_node`` hears of each finished node: its name, its number and how many there are. ``log_level`` is what dbt itself
    prints; its log file has everything.

    Raises:
        WarehouseError: names every model or test that failed, with the database's message; or seed `generators` and the
            models do not name the same generators.
    """
    from dbt.cli.main import dbtRunner

    folder = settings.home.absolute() / "dbt"

    def hear(event: Any) -> None:
        if on_node is not None and event.info.name in ("LogModelResult", "LogTestResult", "LogSeedResult"):
            total = getattr(event.data, "total", None) or event.data.num_models  # dbt's tests call it otherwise
            on_node(event.data.node_info.node_name, event.data.index, total)

    with _environment(settings, as_of):
        result = dbtRunner(callbacks=[hear]).invoke(
            [
                *arguments,
                *("--project-dir", str(DBT_PROJECT), "--profiles-dir", str(DBT_PROJECT)),
                *("--target-path", str(folder / "target"), "--log-path", str(folder / "logs")),
                *("--log-level", log_level, "--log-level-file", "info"),
                *("--no-use-colors", "--no-send-anonymous-usage-stats"),
            ]
        )
    if result.success:
        return
    if result.exception is not None:
        raise WarehouseError(
            f"dbt {arguments[0]} stopped before its first model. Received: {result.exception} "
            f"Remedy: {_remedy(str(result.exception))}."
        )
    nodes: list[Any] = list(result.result or [])  # type: ignore[arg-type]  # a build's result is a list of its nodes
    failed = [node for node in nodes if str(node.status) in ("error", "fail")]
    details = "\n".join(f"  {node.node.name}: {_in_short(node.message or '')}" for node in failed)
    raise WarehouseError(
        f"dbt {arguments[0]} failed in {len(failed)} of its nodes:\n{details}\n"
        f"Remedy: {_remedy(details)}; compiled SQL lies in {folder / 'target'}, the log in {folder / 'logs'}."
    )


@contextmanager
def _environment(settings: Settings, as_of: date) -> "Iterator[None]":
    """Within the block, dbt's profile and plugin find these settings and this night in the environment.

    Paths are absolute, because dbt works in the folder of its project.
    """
    names = [f"CROSSREC_{name.upper()}" for name in Settings.model_fields if name != "token_key"]
    names += ["CROSSREC_DBT_AS_OF", "CROSSREC_DBT_WAREHOUSE"]
    before = {name: os.environ.pop(name) for name in names if name in os.environ}
    os.environ |= settings.environment() | {
        "CROSSREC_HOME": str(settings.home.absolute()),
        "CROSSREC_LAKE": open_lake(settings).uri(),
        "CROSSREC_DBT_AS_OF": as_of.isoformat(),
        "CROSSREC_DBT_WAREHOUSE": str(settings.warehouse_path.absolute()),
    }
    try:
        yield
    finally:
        for name in names:
            os.environ.pop(name, None)
        os.environ |= before


def _in_short(message: str) -> str:
    """The message in one line, but for a unit test's, whose table of rows is read line by line."""
    if "differs from" in message:
        return "\n" + textwrap.indent(message.strip(), "    ")
    return " ".join(message.split())


def _remedy(details: str) -> str:
    """What to do about what DuckDB said in the failed nodes."""
    if re.search(r"no space left|disk quota|could not write", details, re.IGNORECASE):
        return "free space where CROSSREC_HOME and the lake lie, and run the night again"
    if damaged := re.search(r"raw/platform=(\w+)/table=(\w+)/load_date=([0-9-]+)/\S+?\.parquet", details):
        platform, table, load_date = damaged.groups()
        return (
            f"the load of platform '{platform}', table '{table}' of {load_date} is damaged in the lake: run the night of "
            f"{load_date} again, whose extract writes the same file anew, then this one"
        )
    if re.search(r"not a valid duckdb|checksum|corrupt", details, re.IGNORECASE):
        return (
            "delete the warehouse file, which the night builds again from the lake, and see that its disk is not full"
        )
    if re.search(r"could not set lock|conflicting lock", details, re.IGNORECASE):
        return "let the other night, or the program that holds the file, finish, and run the task again"
    return "mend the model or the data it names"
