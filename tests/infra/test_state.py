"""What an operator can cause is one sentence with a path and a remedy; a fault of ours keeps its traceback."""

import errno
import pickle
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import date
from pathlib import Path

import duckdb
import pytest

from infra.deploy.logs import explained
from infra.identity_store import IdentityStore, PassedIdentity
from infra.lake import Lake, LocalLake, read_table
from infra.layout import require_layout
from infra.mlflow import addresses
from infra.mlflow.registry import Registry
from infra.platforms import manifests
from infra.settings import Settings
from infra.state import StateError, as_state_error
from infra.warehouse import WarehouseError, query

GARBAGE = [b"", b"{", b"[1, 2]", b'"text"', b"\xff\xfe\x00", b"x" * 1000]


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return LocalLake(tmp_path / "lake")


@pytest.fixture
def store(lake: Lake) -> IdentityStore:
    return IdentityStore(lake, "person", "account", "people", in_vault=True)


def told(error: BaseException) -> str:
    found = as_state_error(error)
    assert found is not None
    assert "Received: " in str(found)
    assert "Remedy: " in str(found)
    return str(found)


# --- files of ours with another content

READERS: dict[str, Callable[[Lake, IdentityStore], object]] = {
    "layout.json": lambda lake, _: require_layout(lake),
    "raw/platform=shop/table=orders/load_date=2000-12-14/_manifest.json": lambda lake, _: [
        *manifests(lake, "shop", "orders")
    ],
    "identity/person_overrides.jsonl": lambda _, store: store.decisions(),
    "identity/as_of=2000-12-14/person_accepted_changes.json": lambda _, store: store.accepted_digests(
        date(2000, 12, 14)
    ),
    "identity/as_of=2000-12-14/person_accepted.json": lambda _, store: store.previous(date(2000, 12, 15)),
    "transfer/excluded.parquet": lambda lake, _: read_table(lake, "transfer/excluded.parquet"),
}


@pytest.mark.parametrize("content", GARBAGE)
@pytest.mark.parametrize("key", READERS)
def test_a_damaged_file_is_named_with_its_remedy(key: str, content: bytes, lake: Lake, store: IdentityStore) -> None:
    if key.endswith(".jsonl") and not content:
        pytest.skip("no decision at all is a good file")
    lake.put(key, content)
    with pytest.raises(StateError, match=r"is damaged. Received: .*Remedy: ") as error:
        READERS[key](lake, store)
    assert lake.uri(key) in str(error.value)
    assert error.value.path == lake.uri(key)
    assert "\n" not in str(error.value)


def test_what_is_whole_is_read(lake: Lake, store: IdentityStore) -> None:
    store.let_pass(date(2000, 12, 14), PassedIdentity(model_version="1", vault_is_open=True))
    decision = {"left": ["a", "1"], "right": ["b", "2"], "decision": "same", "who": "ada", "when": "now", "why": "x"}
    store.write_decisions([decision], None)
    assert store.decisions()[0] == [decision]
    require_layout(lake)
    require_layout(lake)


# --- what the system, DuckDB and SQLite say


@pytest.mark.parametrize(
    ("error", "problem", "remedy"),
    [
        (OSError(errno.ENOSPC, "No space left on device", "/data/a"), "/data/a: the disk is full", "free space"),
        (OSError(errno.EROFS, "Read-only file system", "/data/a"), "/data/a: the disk is read-only", "CROSSREC_HOME"),
        (PermissionError(errno.EACCES, "Permission denied", "/data/a"), "/data/a: this user has no right", "give this"),
        (PermissionError("no right to read: s3://bucket/a"), "a file: this user has no right", "give this"),
        (
            IsADirectoryError(errno.EISDIR, "Is a directory", "/data/a"),
            "/data/a: a folder lies where a file",
            "move it",
        ),
        (
            NotADirectoryError(errno.ENOTDIR, "Not a directory", "/data/a"),
            "/data/a: a folder lies where a f",
            "move it",
        ),
        (FileNotFoundError(errno.ENOENT, "No such file", "/data/a"), "/data/a: there is no such file", "run the night"),
        (OSError(errno.EIO, "Input/output error", "/data/a"), "/data/a: it cannot be read or written", "its disk"),
        (MemoryError("Unable to allocate 5.9 GiB"), "this does not fit into memory", "CROSSREC_DUCKDB_MEMORY_LIMIT"),
    ],
)
def test_what_the_system_says(error: Exception, problem: str, remedy: str) -> None:
    said = told(error)
    assert said.startswith(problem)
    assert remedy in said.partition("Remedy: ")[2]


def test_a_full_disk_under_the_lake_keeps_the_remedy_of_the_lake() -> None:
    text = "No space left on device; what was there is kept. Remedy: free space where the lake lies"
    said = told(OSError(errno.ENOSPC, text, "/lake/a"))
    assert said.count("Remedy: ") == 1
    assert "/lake/a: No space left on device. Received: " in said


def test_a_query_that_does_not_fit_names_the_setting() -> None:
    with (
        duckdb.connect(config={"memory_limit": "10MB", "temp_directory": ""}) as connection,
        pytest.raises(duckdb.Error) as error,
    ):
        connection.execute("select list(range) from range(10_000_000)").fetchall()
    assert "CROSSREC_DUCKDB_MEMORY_LIMIT" in told(error.value)


def test_an_error_that_another_one_caused_is_told_too() -> None:
    error = KeyError("what came of it")
    error.__cause__ = OSError(errno.ENOSPC, "No space left on device", "/data/a")
    assert "the disk is full" in told(error)


@pytest.mark.parametrize("error", [KeyError("person_id"), ValueError("x"), ConnectionResetError(104, "reset")])
def test_a_fault_of_ours_is_not_explained(error: Exception) -> None:
    assert as_state_error(error) is None
    assert explained(error) is None


def test_settings_that_cannot_be_used_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CROSSREC_EPOCHS", "many")
    with pytest.raises(ValueError, match="Settings") as error:
        Settings()
    assert str(explained(error.value)).startswith("settings that cannot be used. Received: CROSSREC_EPOCHS: ")


def test_the_error_survives_another_process() -> None:
    error = StateError("a is damaged", path="/a", received="b", remedy="c", retryable=True)
    again = pickle.loads(pickle.dumps(error))
    assert (str(again), again.path, again.retryable) == (str(error), "/a", True)


# --- the warehouse


@pytest.mark.parametrize(
    "damage",
    [
        lambda file: file.write_bytes(b"no database"),
        lambda file: file.write_bytes(b"\0" * 20_000),
        lambda file: file.write_bytes(file.read_bytes()[:5000]),
        lambda file: (file.unlink(), file.mkdir()),
    ],
)
def test_a_damaged_warehouse_is_named(damage: Callable[[Path], object], tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    with duckdb.connect(str(settings.warehouse_path)) as connection:
        connection.execute("create table numbers as from range(100_000)")
    damage(settings.warehouse_path)
    with pytest.raises((WarehouseError, duckdb.Error)) as error:
        query(settings, "select sum(range) from numbers")
    said = told(error.value)
    assert str(settings.warehouse_path) in said


# --- MLflow's database

LOCK = """
import sqlite3, sys
held = sqlite3.connect(sys.argv[1], isolation_level=None)
held.execute("begin exclusive")
print("held", flush=True)
sys.stdin.readline()
"""


@contextmanager
def locked(database: Path) -> Iterator["subprocess.Popen[str]"]:
    command = [sys.executable, "-c", LOCK, str(database)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        try:
            yield process
        finally:
            process.kill()


@pytest.fixture(scope="module")
def with_mlflow(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """A home with MLflow's database."""
    settings = Settings(home=tmp_path_factory.mktemp("home"))
    Registry(settings)
    return settings


# of itself, SQLite waits for five seconds, and MLflow for twenty in a database that it has opened
@pytest.mark.parametrize(("opened", "at_most"), [(False, 4.5), (True, 15)])
def test_a_lock_of_mlflows_database_is_waited_for_and_then_named(
    opened: bool, at_most: float, with_mlflow: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(addresses, "SECONDS_TO_WAIT", 1 if opened else 1.01)  # another address: opened anew
    registry, database = Registry(with_mlflow), with_mlflow.home / "mlflow" / "mlflow.db"
    if opened:
        assert registry.champion() is None
    began = time.monotonic()
    with locked(database), pytest.raises(Exception, match="locked") as error:
        registry.log_files({"a": b""}, {}, kind="linkage", as_of=date(2000, 12, 15), metrics={}, tags={})
    assert time.monotonic() - began < at_most
    told_to_operator = explained(error.value)
    assert isinstance(told_to_operator, StateError)
    assert told_to_operator.retryable
    assert "MLflow's database" in str(told_to_operator)
    assert "is locked. Received: database is locked. Remedy: let the program that writes it finish" in str(
        told_to_operator
    )


def test_a_damaged_database_of_mlflow_is_named(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    file = settings.home / "mlflow" / "mlflow.db"
    file.parent.mkdir()
    file.write_bytes(b"no database" * 1000)
    with pytest.raises(Exception, match="not a database") as error:
        Registry(settings)
    assert "is damaged. Received: " in told(error.value)


def test_sqlite_says_more_than_locked(tmp_path: Path) -> None:
    with pytest.raises(sqlite3.OperationalError) as error, closing(sqlite3.connect(tmp_path / "no" / "a.db")):
        pass
    assert "cannot be opened" in told(error.value)
