"""The warehouse that dbt builds: a DuckDB file with one writer at a time.

Whoever opens the file holds its lock first (`lock`): a writer alone, readers together. DuckDB would refuse the second of two
processes at once; with the lock it waits.
"""

import logging
import os
import re
import textwrap
from collections.abc import Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb
import pyarrow as pa

from infra.lake import open_lake
from infra.locks import LockedError, hold
from infra.settings import PROJECT_ROOT, Settings
from infra.state import MORE_MEMORY, StateError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dbt.cli.main import dbtRunnerResult

# not of `Settings`: one that is wrong must be a message of the command, and not of an import
DBT_PROJECT = Path(os.environ.get("CROSSREC_DBT_PROJECT") or PROJECT_ROOT / "dbt_project").absolute()
log = logging.getLogger(__name__)

LOCK_WAIT = 1800  # seconds; a build of all snapshots may take that long
PARSED_BEFORE = ("build", "run", "seed", "test")  # commands that take a parsed project
PARSED_ANEW = ("--vars", "--target", "-t", "--profile")  # options with which a project is parsed to something else
# what dbt reads of the environment only when it runs: parsing is the same for every night and every copy of the warehouse
NOT_PARSED = ("CROSSREC_HOME", "CROSSREC_WAREHOUSE", "CROSSREC_DBT_WAREHOUSE", "CROSSREC_DBT_AS_OF")
_parsed: "tuple[object, dbtRunnerResult] | None" = None
OPEN_NOTHING = ("clean", "deps", "list", "ls", "parse")  # dbt's commands that need no warehouse


class WarehouseError(StateError):
    """The warehouse could not be opened or built; the message says why and what to do."""


@contextmanager
def lock(settings: Settings, what: str, *, shared: bool, wait: float = LOCK_WAIT) -> "Iterator[None]":
    """Hold the warehouse's lock to the end of the block: ``shared`` with other readers, or alone for a writer.

    Raises:
        WarehouseError: Another process still holds the lock after ``wait`` seconds.
    """
    path = lock_path(settings.warehouse_path)
    with ExitStack() as held:
        try:
            held.enter_context(hold(path, what, shared=shared, wait=wait))
        except LockedError as error:
            raise WarehouseError(
                f"warehouse {settings.warehouse_path} is in use. Received: {error}, after {wait:.0f} s of waiting. "
                "Remedy: let that process finish, or stop it, and run this again."
            ) from None
        yield


def lock_path(warehouse: Path) -> Path:
    """The lock file of a warehouse file."""
    return warehouse.with_name(f"{warehouse.name}.lock")


@contextmanager
def connect(
    settings: Settings, *, read_only: bool = True, wait: float = LOCK_WAIT
) -> "Iterator[duckdb.DuckDBPyConnection]":
    """A connection to the warehouse that holds its lock, both to the end of the block.

    Raises:
        WarehouseError: The file is not there yet, or another process holds it for longer than ``wait`` seconds.
    """
    path = settings.warehouse_path
    if read_only and not path.exists():
        raise WarehouseError(f"warehouse {path} is not there. Received: no file. Remedy: run `crossrec nightly` first.")
    with lock(settings, "reads" if read_only else "writes", shared=read_only, wait=wait):
        connection = _open(settings, read_only=read_only)
        try:
            yield connection
        finally:
            connection.close()


def _open(settings: Settings, *, read_only: bool) -> duckdb.DuckDBPyConnection:
    try:
        connection = duckdb.connect(
            str(settings.warehouse_path),
            read_only=read_only,
            config={"memory_limit": settings.duckdb_memory_limit, "threads": settings.threads},
        )
    except duckdb.Error as error:  # by a program that knows nothing of our lock, or the file is damaged or out of reach
        said = str(error).splitlines()[0]
        raise WarehouseError(
            f"warehouse {settings.warehouse_path} cannot be opened. Received: {said} Remedy: {_remedy(said)}.",
            path=settings.warehouse_path,
        ) from error
    connection.execute("set TimeZone = 'UTC'")
    return connection


def query(settings: Settings, sql: str, parameters: Sequence[object] | dict[str, object] | None = None) -> pa.Table:
    """The rows of ``sql`` as an Arrow table; DuckDB binds the ``parameters``."""
    with connect(settings) as connection:
        table: pa.Table = connection.execute(sql, parameters).to_arrow_table()
        return table


def unstage(settings: Settings, platform: str, load_date: date) -> None:
    """Take what staging has of the platform's loads of ``load_date`` and later out again; no error where it has nothing.

    Later loads go too, because rows of theirs may count as duplicates of the rows that go. dbt stages again the loads that
    the lake has and staging lacks.

    Raises:
        WarehouseError: Another process holds the warehouse for too long.
    """
    if not settings.warehouse_path.exists():
        return
    with connect(settings, read_only=False) as warehouse:
        tables = warehouse.execute(
            "select distinct table_name from information_schema.columns where table_schema = 'staging'"
            " and column_name = 'load_date' and starts_with(table_name, 'stg_' || $platform || '__') order by all",
            {"platform": platform},
        ).fetchall()
        profiles = warehouse.execute(
            "select table_name from information_schema.tables where table_schema = 'intermediate'"
            " and table_type = 'BASE TABLE' and table_name similar to 'int_quality__[a-z]+_profiles' order by all"
        ).fetchall()
        warehouse.begin()
        for (table,) in tables:
            warehouse.execute(f'delete from staging."{table}" where load_date >= $load_date', {"load_date": load_date})
        for (table,) in profiles:  # what the gate `contents` learns from
            warehouse.execute(
                f'delete from intermediate."{table}" where platform = $platform and load_date >= $load_date',
                {"platform": platform, "load_date": load_date},
            )
        warehouse.commit()


def query_with_sequences(
    settings: Settings, sql: str, parameters: Sequence[object] | dict[str, object] | None = None
) -> pa.Table:
    """Like `query`, and ``sql`` may join `sequences`: the mart `person_sequences` with its columns of text as dictionaries.

    A sequence comes back beside every candidate of its person. As text that would be gigabytes of repeated values.
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
    log_level: str = "none",
    wait: float = LOCK_WAIT,
) -> list[str]:
    """Run dbt in this process, for the night of ``as_of``, and return the names of the nodes that it ran.

    The whole run holds the warehouse's lock. Every node that ends is logged at DEBUG with its time. ``log_level`` is what dbt
    itself prints; its log file has everything.

    Raises:
        WarehouseError: Another process holds the warehouse for longer than ``wait`` seconds; or models or tests failed, and
            the message names them; or seed `generators` and the models do not name the same generators.
    """
    folder = settings.home.absolute() / "dbt"
    nodes: list[str] = []

    def hear(event: Any) -> None:
        if event.info.name in ("LogModelResult", "LogTestResult", "LogSeedResult"):
            nodes.append(event.data.node_info.node_name)
            _log_node(event.data)

    command = " ".join(["dbt", *arguments])
    opens_nothing = arguments[:1] and arguments[0] in OPEN_NOTHING
    with nullcontext() if opens_nothing else lock(settings, command, shared=False, wait=wait):
        from dbt.cli.main import dbtRunner  # seconds of imports

        options = [
            *("--project-dir", str(DBT_PROJECT), "--profiles-dir", str(DBT_PROJECT)),
            *("--target-path", str(folder / "target"), "--log-path", str(folder / "logs")),
            *("--log-level", log_level, "--log-level-file", "info"),
            *("--no-use-colors", "--no-send-anonymous-usage-stats"),
        ]
        with _environment(settings, as_of), _closed_at_the_end():
            anew = not {*arguments[:1]} & {*PARSED_BEFORE} or any(text.startswith(PARSED_ANEW) for text in arguments)
            result = None if anew else _parse(options, settings.warehouse_path.stem)
            if result is None or result.success:
                manifest: Any = result and result.result
                result = dbtRunner(manifest, callbacks=[hear]).invoke([*arguments, *options])
    _require_success(result, arguments[0], folder)
    return nodes


def _parse(options: Sequence[str], database: str) -> "dbtRunnerResult":
    """What dbt says to `parse`. A process parses the project again only where a file of it, a setting or the database's name changed.

    The name of a DuckDB database is that of its file, and stands in the name of every relation.
    """
    from dbt.cli.main import dbtRunner

    files = [path for path in DBT_PROJECT.rglob("*") if path.suffix in (".sql", ".py", ".yml", ".csv")]
    settings = {name: value for name, value in os.environ.items() if name.startswith("CROSSREC_")}
    parsed_from = (
        database,
        sorted((str(file), file.stat().st_mtime_ns, file.stat().st_size) for file in files),
        sorted((name, value) for name, value in settings.items() if name not in NOT_PARSED),
    )
    global _parsed  # one at a time: it takes 50 MB
    if _parsed is None or _parsed[0] != parsed_from:
        _parsed = None
        result = dbtRunner().invoke(["parse", *options])
        if not result.success:
            return result
        _parsed = parsed_from, result
    return _parsed[1]


@contextmanager
def _closed_at_the_end() -> "Iterator[None]":
    """After the block, the file that dbt's adapter would keep open to the end of the process is closed."""
    from dbt.adapters.duckdb.connections import DuckDBConnectionManager

    try:
        yield
    finally:
        if DuckDBConnectionManager._ENV is not None:  # dbt can fail before it opens anything
            DuckDBConnectionManager._ENV.close()
            DuckDBConnectionManager.close_all_connections()


def _require_success(result: "dbtRunnerResult", command: str, folder: Path) -> None:
    """Raise a WarehouseError that names every node of dbt that failed, with the database's message and the remedy."""
    if result.success:
        return
    if result.exception is not None:
        said = " ".join(str(result.exception).split()).removeprefix("Runtime Error ")
        if "Remedy: " in said:  # a message of our own
            raise WarehouseError(said)
        raise WarehouseError(f"dbt {command} stopped before its first model. Received: {said} Remedy: {_remedy(said)}.")
    nodes: list[Any] = list(result.result or [])  # type: ignore[arg-type]  # a build's result is a list of its nodes
    failed = [node for node in nodes if str(node.status) in ("error", "fail")]
    details = "\n".join(f"  {node.node.name}: {_in_short(node.message or '')}" for node in failed)
    raise WarehouseError(
        f"dbt {command} failed in {len(failed)} of its nodes:\n{details}\n"
        f"Remedy: {_remedy(details)}; compiled SQL lies in {folder / 'target'}, the log in {folder / 'logs'}."
    )


def _log_node(data: Any) -> None:
    """Log one finished node of dbt: its number and how many there are, its name, its time, and its status unless it is good."""
    total = getattr(data, "total", None) or data.num_models  # dbt's tests have another name for it
    status = "" if data.node_info.node_status in ("success", "pass") else f" {data.node_info.node_status}"
    log.debug(f"dbt {data.index}/{total} {data.node_info.node_name} {data.execution_time:.1f} s{status}")


@contextmanager
def _environment(settings: Settings, as_of: date) -> "Iterator[None]":
    """Within the block, dbt's profile and plugin find these settings and this night in the environment.

    Paths are absolute, because dbt works in the folder of its project.
    """
    names = [f"CROSSREC_{name.upper()}" for name in Settings.model_fields if name != "token_key"]
    names += ["CROSSREC_DBT_AS_OF", "CROSSREC_DBT_LAKE", "CROSSREC_DBT_WAREHOUSE"]
    lake = open_lake(settings).uri()
    before = {name: os.environ.pop(name) for name in names if name in os.environ}
    os.environ |= settings.environment() | {
        "CROSSREC_HOME": str(settings.home.absolute()),
        "CROSSREC_LAKE": lake,
        "CROSSREC_DBT_LAKE": lake,
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
    """The message in one line. A unit test's message keeps its lines, because it is a table of rows."""
    if "differs from" in message:
        return "\n" + textwrap.indent(message.strip(), "    ")
    return " ".join(message.split())


def _remedy(details: str) -> str:
    """What to do about the messages of DuckDB in the failed nodes."""
    if re.search(r"no space left|disk quota|could not write", details, re.IGNORECASE):
        return "free space where CROSSREC_HOME and the lake lie, and run the night again"
    if damaged := re.search(r"raw/platform=(\w+)/table=(\w+)/load_date=([0-9-]+)/\S+?\.parquet", details):
        platform, table, load_date = damaged.groups()
        return (
            f"the load of platform '{platform}', table '{table}' of {load_date} is damaged in the lake: run the night of "
            f"{load_date} again, whose extract writes the same file anew, then this one"
        )
    if re.search(r"out of memory|failed to allocate|could not allocate", details, re.IGNORECASE):
        return MORE_MEMORY
    if re.search(r"permission denied|read-only file|is a directory|cannot open file", details, re.IGNORECASE):
        return (
            "see that it is a file that this user may read and write, on a disk that can be written, and run this again"
        )
    if re.search(r"not a valid duckdb|checksum|corrupt|deserialize|failed to load metadata", details, re.IGNORECASE):
        return (
            "delete the warehouse file, which the night builds again from the lake, and see that its disk is not full"
        )
    if re.search(r"could not set lock|conflicting lock", details, re.IGNORECASE):
        return "let the program that holds the file finish, and run this again"
    return "mend the model or the data it names"
