"""Settings, a lake, and platforms of every technology; the servers behind some of them come from tests/servers.py."""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from textwrap import dedent, indent
from typing import Any

import duckdb
import pytest

from infra.lake import Lake, open_lake
from infra.platforms import Platform, load_platforms
from infra.settings import Settings
from tests.servers import Database, Server


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path / "home", demo=tmp_path / "demo", token_key="a test's key")


@pytest.fixture
def lake(settings: Settings) -> Lake:
    return open_lake(settings)


Declare = Callable[..., Platform]


@pytest.fixture
def declare(tmp_path: Path) -> Declare:
    """``declare(url, tables, **meta)``: the platform 'shop' from a sources file with these tables (YAML)."""

    def declare(url: str, tables: str, **meta: object) -> Platform:
        folder = tmp_path / "staging" / "shop"
        folder.mkdir(parents=True, exist_ok=True)
        options = ", ".join(f"{name}: {value}" for name, value in {"demo": f'"{url}"', **meta}.items())
        (folder / "_shop__sources.yml").write_text(
            f"sources:\n  - name: shop\n    config: {{meta: {{connection: CROSSREC_SHOP_URL, {options}}}}}\n"
            f"    tables:\n{indent(dedent(tables), '      ')}"
        )
        return load_platforms(folder.parent)[0]

    return declare


@pytest.fixture(params=["duckdb", "sqlite", "postgres", "mysql"])
def database(request: pytest.FixtureRequest) -> Database:
    """An empty database of each technology in turn."""
    made: Database = request.getfixturevalue(f"{request.param}_database")
    return made


@pytest.fixture
def duckdb_database(tmp_path: Path) -> Database:
    path = tmp_path / "shop.duckdb"

    def execute(sql: str) -> list[Any]:
        with duckdb.connect(str(path)) as connection:
            return connection.execute(sql).fetchall()

    return Database("duckdb", f"duckdb:///{path}", "timestamp", execute)


@pytest.fixture
def sqlite_database(tmp_path: Path) -> Database:
    path = tmp_path / "shop.sqlite"

    def execute(sql: str) -> list[Any]:
        with closing(sqlite3.connect(path, isolation_level=None)) as connection:
            return connection.execute(sql).fetchall()

    return Database("sqlite", f"sqlite:///{path}", "text", execute)


@pytest.fixture
def postgres_database(postgres_server: Server, settings: Settings) -> Database:
    return postgres_server.fresh_database(settings)


@pytest.fixture
def mysql_database(mysql_server: Server, settings: Settings) -> Database:
    return mysql_server.fresh_database(settings)


@pytest.fixture
def s3_settings(s3_server: str, s3_bucket: str, settings: Settings) -> Settings:
    """The settings with a lake in a fresh bucket."""
    return settings.model_copy(update={"lake": f"s3://{s3_bucket}/some/prefix", "s3_endpoint": s3_server})
