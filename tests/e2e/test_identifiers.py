"""Who the accounts are in real life stays in the platforms and the vault: nothing else a night leaves says it."""

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import duckdb
import pytest

from tests.e2e.conftest import TwoNights
from tests.e2e.identifiers import Identifiers

APART = "\n|||||\n"  # no pair of words may reach from one value into the next


def _texts(path: Path) -> str:
    """The words of a file: the values of a table, or else its bytes."""
    if path.suffix == ".parquet":
        with duckdb.connect() as connection:
            return _table(connection, f"read_parquet('{path}')")
    if path.read_bytes().startswith(b"SQLite format 3"):  # its bytes put one value right behind the other
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
            names = connection.execute("select name from sqlite_master where type = 'table'").fetchall()
            rows = [row for (name,) in names for row in connection.execute(f'select * from "{name}"')]
        return APART.join(str(value) for row in rows for value in row)
    return path.read_bytes().decode("utf-8", errors="replace")


def _table(connection: duckdb.DuckDBPyConnection, table: str) -> str:
    texts = [
        name
        for name, kind, *_ in connection.execute(f"describe from {table}").fetchall()
        if kind in ("VARCHAR", "BLOB", "JSON")
    ]
    values: list[str] = []
    for name in texts:
        values += [
            str(value) for (value,) in connection.execute(f'select distinct "{name}" from {table}').fetchall() if value
        ]
    return APART.join(values)


def test_the_search_would_find_them(identifiers: Identifiers, two_nights: TwoNights) -> None:
    """In the platforms themselves; names, birth dates and streets in the vault."""
    every = (identifiers.emails, identifiers.phones, identifiers.names, identifiers.born, identifiers.streets)
    assert min(len(kind) for kind in every) > 500
    found = identifiers.in_text(_texts(two_nights.home / "demo" / "shop.sqlite"))
    assert len(found & identifiers.emails) > 300
    vault = APART.join(_texts(path) for path in sorted((two_nights.home / "lake" / "vault").rglob("*.parquet")))
    names = {word for pair in identifiers.names for word in pair}
    assert len(names & set(vault.lower().split())) > 300
    found = identifiers.in_text(vault)
    assert min(len(found & identifiers.born), len(found & identifiers.streets)) > 300
    email, phone, name, born, street = (min(kind) for kind in every)
    line = f"{{'mail': '{email.upper()}', 'tel': '{phone[:4]} {phone[4:]}', 'name': '{' '.join(name).title()}'"
    line += f", 'born': '{born[6:]}/{born[4:6]}/{born[:4]}', 'at': '{street.title()}, {born[:4]}'}}"
    assert identifiers.in_text(line) == {email, phone, " ".join(name), born, street}
    assert identifiers.in_text(f"{born[:4]}-{born[4:6]}-{born[6:]}") == identifiers.in_text(f"({born})") == {born}


@pytest.mark.parametrize("folder", ["airflow", "dbt", "lake", "logs", "mlflow"])
def test_no_file_that_a_night_leaves_names_anybody(
    folder: str, identifiers: Identifiers, two_nights: TwoNights
) -> None:
    root = two_nights.home / folder
    vault = two_nights.home / "lake" / "vault"
    looked_at = [path for path in sorted(root.rglob("*")) if path.is_file() and vault not in path.parents]
    assert looked_at
    named = {str(path.relative_to(root)): found for path in looked_at if (found := identifiers.in_text(_texts(path)))}
    assert named == {}


def test_no_table_of_the_warehouse_names_anybody(identifiers: Identifiers, two_nights: TwoNights) -> None:
    with duckdb.connect(str(two_nights.home / "warehouse.duckdb"), read_only=True) as warehouse:
        tables = warehouse.execute(
            "select schema_name || '.' || table_name from duckdb_tables() order by all"
        ).fetchall()
        named = {name: found for (name,) in tables if (found := identifiers.in_text(_table(warehouse, name)))}
    assert len(tables) > 30
    assert named == {}


def test_no_list_of_a_platform_names_anybody(identifiers: Identifiers, two_nights: TwoNights) -> None:
    """Not even to the platform that knows them: it has its own account ids."""
    for lists in two_nights.served.values():
        assert identifiers.in_text(json.dumps(lists, default=str)) == set()
