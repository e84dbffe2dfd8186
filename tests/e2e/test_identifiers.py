"""Who the accounts are in real life stays in the platforms and the vault. Nothing else that a night leaves names them."""

import json
import sqlite3
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path

import duckdb
import pytest

from tests.e2e.conftest import TwoNights
from tests.e2e.identifiers import Identifiers

APART = "\n|||||\n"  # no pair of words may begin in one value and end in the next


Values = Iterable[str]


def _values_of_file(path: Path) -> Values:
    """Every value of a Parquet file or of an SQLite database; of any other file, its text."""
    if path.suffix == ".parquet":
        with duckdb.connect() as connection:
            return _values_of_table(connection, f"read_parquet('{path}')")
    if path.read_bytes().startswith(b"SQLite format 3"):  # its bytes put one value right behind the other
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
            names = connection.execute("select name from sqlite_master where type = 'table'").fetchall()
            rows = [row for (name,) in names for row in connection.execute(f'select * from "{name}"')]
        return {str(value) for row in rows for value in row}
    return {path.read_bytes().decode("utf-8", errors="replace")}


def _values_of_table(connection: duckdb.DuckDBPyConnection, table: str) -> Values:
    texts = [
        name
        for name, kind, *_ in connection.execute(f"describe from {table}").fetchall()
        if kind in ("VARCHAR", "BLOB", "JSON")
    ]
    return {
        str(value)
        for name in texts
        for (value,) in connection.execute(f'select distinct "{name}" from {table}').fetchall()
        if value
    }


def _named(identifiers: Identifiers, places: Iterable[tuple[str, Values]]) -> dict[str, set[str]]:
    """Where somebody is named, and by what. A value that several places have is searched in the first of them."""
    searched: set[str] = set()
    named = {}
    for place, values in places:
        new = {*values} - searched
        searched |= new
        if found := identifiers.in_text(APART.join(sorted(new))):
            named[place] = found
    return named


def test_the_search_would_find_them(identifiers: Identifiers, two_nights: TwoNights) -> None:
    """In the platforms themselves; names, birth dates and streets in the vault."""
    every = (identifiers.emails, identifiers.phones, identifiers.names, identifiers.born, identifiers.streets)
    assert min(len(kind) for kind in every) > 500
    found = identifiers.in_text(APART.join(_values_of_file(two_nights.home / "demo" / "shop.sqlite")))
    assert len(found & identifiers.emails) > 300
    files = sorted((two_nights.home / "lake" / "vault").rglob("*.parquet"))
    vault = APART.join(value for path in files for value in _values_of_file(path))
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
    # a link leads to an extension of DuckDB, a program that no night made
    made = [path for path in sorted(root.rglob("*")) if path.is_file() and not path.is_symlink()]
    looked_at = [path for path in made if vault not in path.parents]
    assert looked_at
    assert _named(identifiers, ((str(path.relative_to(root)), _values_of_file(path)) for path in looked_at)) == {}


def test_no_table_of_the_warehouse_names_anybody(identifiers: Identifiers, two_nights: TwoNights) -> None:
    with duckdb.connect(str(two_nights.home / "warehouse.duckdb"), read_only=True) as warehouse:
        tables = warehouse.execute(
            "select schema_name || '.' || table_name from duckdb_tables() order by all"
        ).fetchall()
        named = _named(identifiers, ((name, _values_of_table(warehouse, name)) for (name,) in tables))
    assert len(tables) > 30
    assert named == {}


def test_no_list_of_a_platform_names_anybody(identifiers: Identifiers, two_nights: TwoNights) -> None:
    """Not even to the platform that knows them: it has its own account ids."""
    for lists in two_nights.served.values():
        assert identifiers.in_text(json.dumps(lists, default=str)) == set()
