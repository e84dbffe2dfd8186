"""Each thing that goes wrong at a source ends in one message: platform, table, what was received, what to do."""

import errno
import os
import pickle
import random
import subprocess
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path

import duckdb
import pytest

from infra.lake import Lake, LocalLake
from infra.platforms import Platform, PlatformError, check_connection, extract_table
from infra.platforms.errors import as_platform_error
from infra.settings import Settings

ORDERS = """
- name: orders
  meta: {contract: events, key: [order_no], watermark: recorded_at}
  columns: [{name: order_no}, {name: recorded_at}]
"""
FILES = """
- name: posts
  meta: {contract: events, key: [post], path: "posts/posts-{date}.FORMAT"}
  columns: [{name: post}, {name: stars}]
"""
NIGHT = date(2000, 12, 15)


def failure(platform: Platform, lake: Lake, settings: Settings) -> PlatformError:
    """What extract raises; the doctor's check must agree wherever it looks."""
    with pytest.raises(PlatformError) as raised:
        extract_table(platform, platform.tables[0], NIGHT, lake, settings)
    assert [*lake.list()] == []
    assert "platform 'shop'" in str(raised.value)
    assert ". Received: " in str(raised.value)
    assert ". Remedy: " in str(raised.value)
    return raised.value


def diagnosis(platform: Platform, settings: Settings) -> PlatformError:
    with pytest.raises(PlatformError) as raised:
        check_connection(platform, settings)
    return raised.value


@contextmanager
def another_process(script: str, *arguments: str) -> Iterator[None]:
    """Runs ``script`` up to its end, then waits, holding what it holds."""
    script += "; print('ready', flush=True); sys.stdin.read()"
    process = subprocess.Popen(
        [sys.executable, "-c", "import sys; " + script, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdin
    assert process.stdout
    assert process.stdout.readline() == b"ready\n"
    yield
    process.stdin.close()
    process.wait()
    process.stdout.close()


def test_a_healthy_platform_has_no_finding(database, declare, settings) -> None:
    database.execute(f"create table orders (order_no varchar(9), recorded_at {database.time_type})")
    check_connection(declare(database.url, ORDERS), settings)


@pytest.mark.parametrize("scheme", ["duckdb", "sqlite"])
def test_a_missing_file(scheme, declare, lake, settings) -> None:
    platform = declare(f"{scheme}:///{{demo}}/shop.db", ORDERS)
    error = failure(platform, lake, settings)
    assert "the database file is missing" in str(error)
    assert f"{settings.demo_path}/shop.db" in str(error)
    assert "set CROSSREC_SHOP_URL" in str(error)
    assert "crossrec demo" in str(error)
    assert not error.retryable
    assert str(diagnosis(platform, settings)) == str(error)


def test_a_missing_folder_and_missing_files(tmp_path, declare, lake, settings) -> None:
    platform = declare(f"file:///{tmp_path}/forum", FILES.replace("FORMAT", "jsonl"))
    assert "the folder is missing" in str(failure(platform, lake, settings))
    (tmp_path / "forum" / "posts").mkdir(parents=True)
    error = failure(platform, lake, settings)
    assert "table 'posts': the source has no file of this table" in str(error)
    assert not error.retryable
    assert str(diagnosis(platform, settings)) == str(error)


def test_a_duckdb_file_that_is_being_written(duckdb_database, declare, lake, settings) -> None:
    platform = declare(duckdb_database.url, ORDERS)
    duckdb_database.execute("create table orders (order_no varchar, recorded_at timestamp)")
    path = platform.address(settings).path
    with another_process("import duckdb; connection = duckdb.connect(sys.argv[1])", path):
        elsewhere = failure(platform, lake, settings)
    with duckdb.connect(path):
        here = failure(platform, lake, settings)
    for error in (elsewhere, here):
        assert "is locked by another process" in str(error)
        assert error.retryable


def test_a_sqlite_file_that_is_being_written(sqlite_database, declare, lake, settings) -> None:
    platform = declare(sqlite_database.url, ORDERS)
    sqlite_database.execute("create table orders (order_no text, recorded_at text)")
    hold = "import sqlite3; connection = sqlite3.connect(sys.argv[1], isolation_level=None)"
    hold += "; connection.execute('begin exclusive')"
    with another_process(hold, platform.address(settings).path):
        error = failure(platform, lake, settings)
    assert "is locked by another process" in str(error)
    assert error.retryable


@pytest.mark.parametrize("server", ["postgres_server", "mysql_server"])
def test_servers_that_refuse(server, request, unused_port, declare, lake, settings) -> None:
    server = request.getfixturevalue(server)
    name = server.first_database
    cases = {
        server.url(name, password="top-secret"): ("the credentials were refused", False),
        server.url("no_such_db"): ("the database does not exist", False),
        server.url(name).replace(f":{server.port}/", f":{unused_port}/"): ("the database cannot be reached", True),
        server.url(name).replace("127.0.0.1", "no-such-host.invalid"): ("the database cannot be reached", True),
    }
    for url, (problem, retryable) in cases.items():
        platform = declare(url, ORDERS)
        error = failure(platform, lake, settings)
        assert problem in str(error)
        assert "CROSSREC_SHOP_URL" in str(error)
        assert error.retryable == retryable
        assert "top-secret" not in str(error)
        assert "pa'ss" not in str(error)
        assert str(diagnosis(platform, settings)) == str(error)


def test_the_digits_of_a_port_are_no_answer_of_a_server(declare, settings) -> None:
    said = 'connection to server at "127.0.0.1", port 40311 failed: FATAL: database "no_such_db" does not exist'
    platform = declare("postgresql://crossrec@127.0.0.1:40311/no_such_db", ORDERS)
    error = as_platform_error(duckdb.IOException(said), platform, "orders")
    assert "the database does not exist" in str(error)


def test_a_missing_table(database, declare, lake, settings) -> None:
    database.execute("create table payments (id int)")
    platform = declare(database.url, ORDERS)
    error = failure(platform, lake, settings)
    assert "table 'orders': the source has no such table. Received: a schema with 1 other tables." in str(error)
    assert not error.retryable
    assert str(diagnosis(platform, settings)) == str(error)


def test_a_missing_column(database, declare, lake, settings) -> None:
    database.execute(f"create table orders (order_id varchar(9), recorded_at {database.time_type})")
    platform = declare(database.url, ORDERS)
    error = failure(platform, lake, settings)
    assert "the source has no column 'order_no'. Received: the declared columns recorded_at and 1 others." in str(error)
    assert "_shop__sources.yml" in str(error)
    assert not error.retryable
    assert str(diagnosis(platform, settings)) == str(error)


@pytest.mark.parametrize("suffix", ["jsonl", "csv", "parquet"])
def test_a_missing_column_in_files(suffix, tmp_path, declare, lake, settings) -> None:
    platform = declare(f"file:///{tmp_path}/forum", FILES.replace("FORMAT", suffix))
    file = tmp_path / "forum" / "posts" / f"posts-2000-12-14.{suffix}"
    file.parent.mkdir(parents=True)
    if suffix == "parquet":
        duckdb.sql("select 1 as post").write_parquet(str(file))
    else:
        file.write_text({"jsonl": '{"post": 1}\n', "csv": "post\n1\n"}[suffix])
    received = f"posts/posts-2000-12-14.{suffix} with the declared columns post."
    assert f"the source has no column 'stars'. Received: {received}" in str(failure(platform, lake, settings))


def test_a_watermark_that_is_no_time(database, declare, lake, settings) -> None:
    database.execute("create table orders (order_no varchar(9), recorded_at int)")
    database.execute("insert into orders values ('a', 1), ('b', 20)")
    platform = declare(database.url, ORDERS)
    error = failure(platform, lake, settings)
    assert "the watermark 'recorded_at' is no time. Received: a column of type INT" in str(error)
    assert str(diagnosis(platform, settings)) == str(error)


def damaged(data: bytes) -> Iterator[bytes]:
    yield data[: len(data) // 2]  # cut off
    yield b""  # empty
    yield b"this is no such file" * 1000
    for seed in range(40):  # the right ends around noise, which readers refuse in many words
        yield data[:4] + random.Random(seed).randbytes(len(data) - 12) + data[-8:]


def test_damaged_parquet(tmp_path, declare, lake, settings) -> None:
    # drivers quote the path: the name of the error in it would stand for what they say
    platform = declare(f"file:///{tmp_path}/forum", FILES.replace("FORMAT", "parquet"))
    file = tmp_path / "forum" / "posts" / "posts-2000-12-14.parquet"
    file.parent.mkdir(parents=True)
    duckdb.sql("select range as post, 5 as stars from range(1000)").write_parquet(str(file))
    for data in damaged(file.read_bytes()):
        file.write_bytes(data)
        error = failure(platform, lake, settings)
        assert "table 'posts': the file is corrupt" in str(error)
        assert " in posts/posts-2000-12-14.parquet." in str(error)
        assert not error.retryable


def test_of_many_files_the_damaged_one_is_named(tmp_path, declare, lake, settings) -> None:
    """All are read at once, and the damage lies in the values, where no footer tells it."""
    platform = declare(f"file:///{tmp_path}/forum", FILES.replace("FORMAT", "parquet"))
    folder = tmp_path / "forum" / "posts"
    folder.mkdir(parents=True)
    for day in (11, 12, 13):
        rows = duckdb.sql("select 'post ' || range as post, 5 as stars from range(9000)")
        rows.write_parquet(f"{folder}/posts-2000-12-{day}.parquet", compression="zstd")
    data = (folder / "posts-2000-12-12.parquet").read_bytes()
    (folder / "posts-2000-12-12.parquet").write_bytes(data[:100] + b"\xff" * 999 + data[1099:])
    assert " in posts/posts-2000-12-12.parquet." in str(failure(platform, lake, settings))


@pytest.mark.parametrize("technology", ["duckdb", "sqlite"])
def test_a_corrupt_database_file(technology, request, declare, lake, settings) -> None:
    database = request.getfixturevalue(f"{technology}_database")
    database.execute("create table orders (order_no text, recorded_at text)")
    database.execute("insert into orders values ('a', '2000-12-01 00:00:00')")
    platform = declare(database.url, ORDERS)
    path = Path(platform.address(settings).path)
    path.write_bytes(b"this is no database " * 1000)
    error = failure(platform, lake, settings)
    assert "the file is corrupt" in str(error)
    assert not error.retryable


def test_a_file_name_that_is_no_date(tmp_path, declare, lake, settings) -> None:
    platform = declare(f"file:///{tmp_path}/forum", FILES.replace("FORMAT", "jsonl"))
    file = tmp_path / "forum" / "posts" / "posts-2000-02-30.jsonl"
    file.parent.mkdir(parents=True)
    file.write_text('{"post": 1, "stars": 1}')
    assert "holds no calendar date. Received: posts/posts-2000-02-30.jsonl" in str(failure(platform, lake, settings))


def test_no_message_and_no_traceback_shows_a_value(duckdb_database, declare, lake, settings) -> None:
    duckdb_database.execute(
        "create view orders as select 'ada@secret.example'::int as order_no, timestamp '2000-12-01' as recorded_at"
    )
    error = failure(declare(duckdb_database.url, ORDERS), lake, settings)
    assert "a value or a structure that cannot be read" in str(error)
    assert "secret" not in "".join(traceback.format_exception(error))
    assert error.__context__ is None
    assert error.__cause__ is None


def test_a_full_disk_under_the_lake(duckdb_database, declare, lake, settings, monkeypatch) -> None:
    duckdb_database.execute("create table orders as select 'a' as order_no, timestamp '2000-12-01' as recorded_at")

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("infra.lake.os.fsync", full)
    error = failure(declare(duckdb_database.url, ORDERS), lake, settings)
    assert "the disk is full" in str(error)
    assert "free space" in str(error)
    assert not error.retryable


def test_a_full_disk_under_duckdb(duckdb_database, declare, lake, settings, monkeypatch) -> None:
    duckdb_database.execute("create table orders as select 'a' as order_no, timestamp '2000-12-01' as recorded_at")
    monkeypatch.setattr("infra.platforms.load_files.literal", lambda _: "'/dev/full'")
    assert "the disk is full" in str(failure(declare(duckdb_database.url, ORDERS), lake, settings))


def test_trouble_with_the_lake_is_not_blamed_on_the_platform(duckdb_database, declare, settings, tmp_path) -> None:
    duckdb_database.execute("create table orders as select 'a' as order_no, timestamp '2000-12-01' as recorded_at")
    (tmp_path / "file").write_text("where a folder should be")
    platform = declare(duckdb_database.url, ORDERS)
    with pytest.raises(NotADirectoryError):
        extract_table(platform, platform.tables[0], NIGHT, LocalLake(tmp_path / "file" / "lake"), settings)


def test_an_error_crosses_a_process_whole() -> None:
    error = PlatformError("shop", "orders", "is gone", received="nothing", remedy="look", retryable=True)
    copy = pickle.loads(pickle.dumps(error))
    assert (str(copy), copy.platform, copy.table, copy.retryable) == (str(error), "shop", "orders", True)
    assert str(error) == "platform 'shop', table 'orders': is gone. Received: nothing. Remedy: look."


@pytest.mark.parametrize("linked", ["posts", "posts/posts-2000-12-14.jsonl"])
def test_a_symbolic_link_is_refused(linked, tmp_path, declare, lake, settings) -> None:
    platform = declare(f"file:///{tmp_path}/forum", FILES.replace("FORMAT", "jsonl"))
    file = tmp_path / "forum" / "posts" / "posts-2000-12-14.jsonl"
    file.parent.mkdir(parents=True)
    file.write_text('{"post": 1, "stars": 1}')
    elsewhere = tmp_path / "elsewhere"
    link = tmp_path / "forum" / linked
    link.rename(elsewhere)
    link.symlink_to(elsewhere)
    assert "is a symbolic link" in str(failure(platform, lake, settings))


def test_the_folder_itself_may_be_a_symbolic_link(tmp_path, declare, lake, settings) -> None:
    """Where it lies is the operator's word."""
    platform = declare(f"file:///{tmp_path}/forum", FILES.replace("FORMAT", "jsonl"))
    file = tmp_path / "elsewhere" / "posts" / "posts-2000-12-14.jsonl"
    file.parent.mkdir(parents=True)
    file.write_text('{"post": 1, "stars": 1}')
    (tmp_path / "forum").symlink_to(tmp_path / "elsewhere")
    assert extract_table(platform, platform.tables[0], NIGHT, lake, settings).rows == 1
