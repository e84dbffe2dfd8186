"""The same promises from a folder and from an S3 API."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from botocore.exceptions import ClientError
from botocore.stub import Stubber

from infra.duckdb_connection import duckdb_connection
from infra.lake import ConditionFailed, Lake, LocalLake, S3Lake, open_lake
from infra.settings import Settings


@pytest.fixture(params=["folder", "s3"])
def any_settings(request: pytest.FixtureRequest) -> Settings:
    made: Settings = request.getfixturevalue("settings" if request.param == "folder" else "s3_settings")
    return made


@pytest.fixture
def any_lake(any_settings: Settings) -> Lake:
    return open_lake(any_settings)


def test_what_is_put_is_read(any_lake: Lake, tmp_path: Path) -> None:
    any_lake.put("a/b.txt", b"first")
    any_lake.put("a/b.txt", b"second")
    (tmp_path / "file").write_bytes(b"from a file")
    any_lake.put("a/c.txt", tmp_path / "file")
    assert any_lake.read("a/b.txt")[0] == b"second"
    with any_lake.open("a/c.txt") as stream:
        assert stream.read(4) == b"from"


def test_what_is_not_there(any_lake: Lake) -> None:
    for look in (any_lake.read, any_lake.open):
        with pytest.raises(FileNotFoundError):
            look("no/such/key")
    any_lake.delete("no/such/key")
    assert [*any_lake.list("no/")] == []


def test_what_is_moved_is_under_the_other_key_alone(any_lake: Lake) -> None:
    any_lake.put("a/b.txt", b"first")
    any_lake.put("c/d.txt", b"second")
    any_lake.move("a/b.txt", "c/d.txt")
    assert any_lake.read("c/d.txt")[0] == b"first"
    assert [*any_lake.list()] == ["c/d.txt"]
    with pytest.raises(FileNotFoundError):
        any_lake.move("a/b.txt", "c/d.txt")
    assert any_lake.read("c/d.txt")[0] == b"first"


def test_what_may_not_be_read_in_a_bucket_is_what_it_would_be_in_a_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    """No server here: the answer of one that refuses."""
    for name, value in {"ACCESS_KEY_ID": "x", "SECRET_ACCESS_KEY": "x", "DEFAULT_REGION": "us-east-1"}.items():
        monkeypatch.setenv(f"AWS_{name}", value)
    lake = S3Lake("s3://bucket/lake")
    with Stubber(lake._client) as server:
        for operation in ("get_object", "get_object", "list_objects_v2"):
            server.add_client_error(operation, "AccessDenied", http_status_code=403)
        looks: list[Callable[[str], object]] = [lake.read, lake.open, lambda key: [*lake.list(key)]]
        for look in looks:
            with pytest.raises(PermissionError, match="s3://bucket/lake/vault/names"):
                look("vault/names")
        server.add_client_error("get_object", "SlowDown", http_status_code=503)
        with pytest.raises(ClientError, match="SlowDown"):
            lake.read("vault/names")


def test_keys_are_listed_sorted_and_by_prefix(any_lake: Lake) -> None:
    for key in ("b/2", "b/1/x", "b.txt", "a", "b/10", "c/d"):
        any_lake.put(key, b"")
    assert [*any_lake.list()] == ["a", "b.txt", "b/1/x", "b/10", "b/2", "c/d"]
    assert [*any_lake.list("b/1")] == ["b/1/x", "b/10"]
    any_lake.delete("b/10")
    assert [*any_lake.list("b/")] == ["b/1/x", "b/2"]


def test_more_keys_than_a_page_are_listed(s3_settings: Settings) -> None:
    lake = open_lake(s3_settings)
    keys = [f"many/{number:04}" for number in range(1005)]
    with ThreadPoolExecutor(8) as threads:
        [*threads.map(lambda key: lake.put(key, b""), keys)]
    assert [*lake.list("many/")] == keys


def test_a_conditional_put_needs_the_object_it_knows(any_lake: Lake) -> None:
    first = any_lake.put_if_match("pointer", b"1", None)
    with pytest.raises(ConditionFailed):
        any_lake.put_if_match("pointer", b"x", None)
    second = any_lake.put_if_match("pointer", b"2", first)
    with pytest.raises(ConditionFailed):
        any_lake.put_if_match("pointer", b"x", first)
    assert any_lake.read("pointer") == (b"2", second)
    any_lake.delete("pointer")
    with pytest.raises(ConditionFailed):
        any_lake.put_if_match("pointer", b"x", second)
    assert [*any_lake.list()] == []


def test_concurrent_conditional_puts_lose_no_update(any_lake: Lake) -> None:
    any_lake.put("counter", b"0")

    def count(_: int) -> None:
        while True:
            value, etag = any_lake.read("counter")
            try:
                any_lake.put_if_match("counter", str(int(value) + 1).encode(), etag)
            except ConditionFailed:
                continue
            return

    with ThreadPoolExecutor(4) as threads:
        [*threads.map(count, range(20))]
    assert any_lake.read("counter")[0] == b"20"


def test_a_killed_writer_leaves_what_was_there(settings: Settings, tmp_path: Path) -> None:
    lake = open_lake(settings)
    lake.put("table/part.parquet", b"whole")
    pipe = tmp_path / "endless"
    os.mkfifo(pipe)
    script = "import sys; from pathlib import Path; from infra.lake import LocalLake;"
    script += "LocalLake(Path(sys.argv[1])).put('table/part.parquet', Path(sys.argv[2]))"
    writer = subprocess.Popen([sys.executable, "-c", script, settings.lake_uri, str(pipe)])
    with pipe.open("wb") as source:  # opens once the writer reads
        source.write(b"half" * 100_000)
        source.flush()
        writer.send_signal(signal.SIGKILL)
        writer.wait()
    assert lake.read("table/part.parquet")[0] == b"whole"
    assert [*lake.list()] == ["table/part.parquet"]
    lake.put("table/part.parquet", b"again")
    assert [path.name for path in (Path(settings.lake_uri) / "table").iterdir()] == ["part.parquet"]


def test_a_large_file_goes_up_in_parts(s3_settings: Settings, tmp_path: Path) -> None:
    lake = open_lake(s3_settings)
    (tmp_path / "large").write_bytes(os.urandom(9 << 20))
    lake.put("large", tmp_path / "large")
    data, etag = lake.read("large")
    assert data == (tmp_path / "large").read_bytes()
    assert etag.strip('"').endswith("-2")


@pytest.mark.parametrize("key", ["", "/etc/passwd", "../outside", "a/../../b", "a//b", "./a"])
def test_a_key_stays_inside_the_lake(any_lake: Lake, key: str) -> None:
    with pytest.raises(ValueError, match="a lake key is"):
        any_lake.put(key, b"")


def test_the_root_decides_the_kind(settings: Settings, s3_settings: Settings) -> None:
    assert isinstance(open_lake(settings), LocalLake)
    assert open_lake(settings).uri("a/*.parquet") == f"{settings.home}/lake/a/*.parquet"
    remote = open_lake(s3_settings)
    assert isinstance(remote, S3Lake)
    assert remote.uri("a/*.parquet") == f"{s3_settings.lake}/a/*.parquet"
    assert open_lake(s3_settings, "s3://bucket").uri() == "s3://bucket"


def test_duckdb_reads_the_lake(any_settings: Settings, tmp_path: Path) -> None:
    lake = open_lake(any_settings)
    with duckdb_connection(any_settings, lake) as connection:
        connection.execute(f"copy (select 42 as answer) to '{tmp_path}/a.parquet'")
        lake.put("t/night=1/a.parquet", tmp_path / "a.parquet")
        lake.put("t/night=2/a.parquet", tmp_path / "a.parquet")
        found = connection.execute(f"select sum(answer) from '{lake.uri('t/*/*.parquet')}'").fetchall()
        assert found == [(84,)]
        secrets = connection.execute("select secret_string from duckdb_secrets()").fetchall()
        assert "secret-key" not in str(secrets)


def test_duckdb_has_its_extensions_limits_and_zone_without_a_network(settings: Settings) -> None:
    with duckdb_connection(settings.model_copy(update={"duckdb_memory_limit": "512MiB", "threads": 1})) as connection:
        for extension in ("httpfs", "mysql_scanner", "postgres_scanner", "sqlite_scanner"):
            connection.execute(f"load {extension}")
        limits = "select current_setting('memory_limit'), current_setting('threads'), current_setting('TimeZone')"
        assert connection.execute(limits).fetchall() == [("512.0 MiB", 1, "UTC")]
