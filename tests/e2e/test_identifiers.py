"""Who the accounts are in real life stays in the platforms and the vault: nothing else a night leaves says it."""

import json
import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from itertools import pairwise
from pathlib import Path

import duckdb
import pytest

from tests.e2e.conftest import TwoNights

EMAIL = re.compile(r"[a-z0-9._%+'-]+@[a-z0-9.-]+")
PHONE = re.compile(r"(?<![\w.-])\+?[0-9][0-9 ()-]{6,}[0-9](?![\w.-])")
WORDS = re.compile(r"[a-z][a-z'-]*")
APART = "\n|||||\n"  # no pair of words may reach from one value into the next


class Identifiers:
    """The e-mails, phone numbers and full names of the demo's accounts, and how to find them in a text."""

    def __init__(self, demo: Path) -> None:
        people, titles = _people(demo), _titles(demo)
        self.emails = {email.lower() for _, email, _ in people if email}
        self.phones = {_digits(phone) for _, _, phone in people if phone}
        known = set(_pairs(" . ".join(titles).lower()))
        self.names = {pair for name, _, _ in people if name for pair in [tuple(name.lower().split())] if len(pair) == 2}
        self.names -= known  # a namesake of a film says nothing

    def in_text(self, text: str) -> set[str]:
        text = text.lower()
        emails = self.emails & {email.strip("'") for email in EMAIL.findall(text)}
        phones = self.phones & {_digits(phone) for phone in PHONE.findall(text)}
        return emails | phones | {" ".join(pair) for pair in self.names & set(_pairs(text))}


def _digits(phone: str) -> str:
    return re.sub(r"[^0-9]", "", phone)


def _pairs(text: str) -> Iterator[tuple[str, str]]:
    """Words that stand side by side, with nothing or little between them."""
    words = [(match[0], match.start(), match.end()) for match in WORDS.finditer(text)]
    for (first, _, end), (second, start, _) in pairwise(words):
        if start - end <= 4:
            yield first, second


def _people(demo: Path) -> list[tuple[str, str, str]]:
    with duckdb.connect(str(demo / "stream.duckdb"), read_only=True) as connection:
        people = connection.execute("select given_name || ' ' || surname, email, phone from viewers").fetchall()
    with closing(sqlite3.connect(demo / "shop.sqlite")) as connection:
        people += connection.execute("select first_name || ' ' || last_name, email, phone from customers").fetchall()
    for path in (demo / "forum" / "members").glob("*.jsonl"):
        for line in path.read_text(errors="replace").splitlines():
            if line.startswith("{") and line.endswith("}"):
                member = json.loads(line)
                people.append((member["full_name"], member["mail"], member["tel"]))
    return people


def _titles(demo: Path) -> list[str]:
    with duckdb.connect(str(demo / "stream.duckdb"), read_only=True) as connection:
        return [title for (title,) in connection.execute("select title from titles").fetchall()]


@pytest.fixture(scope="session")
def identifiers(two_nights: TwoNights) -> Identifiers:
    return Identifiers(two_nights.home / "demo")


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
    """In the platforms themselves, and names in the vault."""
    assert min(len(identifiers.emails), len(identifiers.phones), len(identifiers.names)) > 500
    found = identifiers.in_text(_texts(two_nights.home / "demo" / "shop.sqlite"))
    assert len(found & identifiers.emails) > 300
    vault = " ".join(_texts(path) for path in sorted((two_nights.home / "lake" / "vault").rglob("*.parquet")))
    names = {word for pair in identifiers.names for word in pair}
    assert len(names & set(vault.lower().split())) > 300
    [(email, phone, name)] = [
        (min(identifiers.emails), min(identifiers.phones), " ".join(min(identifiers.names))),
    ]
    line = f"{{'mail': '{email.upper()}', 'tel': '{phone[:4]} {phone[4:]}', 'name': '{name.title()}'}}"
    assert identifiers.in_text(line) == {email, phone, name}


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
