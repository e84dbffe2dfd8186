"""Platforms that are databases. DuckDB attaches them as ``source``, and the database itself turns its values into text.

Text arrives exactly: a driver would make a float of an unbounded number and a truth value of MySQL's tinyint(1), and would give up the
whole table for one value that it cannot read. Here such a value costs its row.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple
from zoneinfo import ZoneInfo

import duckdb

from infra.duckdb_connection import create_secret
from infra.platforms.declaration import Address, Platform, SourceTable
from infra.platforms.errors import PlatformError
from infra.platforms.relation import Relation, identifier, literal
from infra.settings import Settings

EXTENSION = {"duckdb": "duckdb", "sqlite": "sqlite", "postgresql": "postgres", "mysql": "mysql"}
# UTF-8 and UTC whatever the server or the database says, so that text and instants mean the same everywhere
PINNED = {
    "postgres": {
        "connect_timeout": "10",
        "client_encoding": "UTF8",
        "options": r"'-c\ timezone=UTC\ -c\ datestyle=ISO'",
    },
    "mysql": {},
}
INSTANT = "TIMESTAMP WITH TIME ZONE"
INTEGERS = ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT", "UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT")
SIMPLE = (*INTEGERS, "FLOAT", "DOUBLE", "BOOLEAN", "DATE", "TIMESTAMP", INSTANT, "UUID")  # their texts can be cast back


def attach(connection: duckdb.DuckDBPyConnection, platform: Platform, settings: Settings, *, read_only: bool) -> str:
    """Attach the platform's database as ``source``; return the quoted name of its schema, ready for a table's name."""
    address = platform.address(settings)
    extension = EXTENSION[address.scheme]
    options = [f"type {extension}"] + ["read_only"] * read_only + ["busy_timeout 1000"] * (extension == "sqlite")
    if extension != "duckdb":
        connection.execute(f"load {extension}")
    if address.scheme in ("duckdb", "sqlite"):
        _require_file(platform, address)
        place, schema = address.path, "main"
    else:
        if extension == "mysql":
            connection.execute(
                "set global mysql_session_time_zone = '+00:00'; set global mysql_tinyint1_as_boolean = false"
            )
        place = " ".join(f"{option}={value}" for option, value in (address.options | PINNED[extension]).items())
        schema = "public" if extension == "postgres" else address.path.strip("/")
        login = {"host": address.host, "user": address.user, "password": address.password}
        login |= {"port": str(address.port) if address.port else None, "database": address.path.strip("/")}
        create_secret(connection, "source_login", extension, login)
        options.append("secret source_login")
    connection.execute(f"attach {literal(place)} as source ({', '.join(options)})")
    return f"source.{identifier(platform.database_schema or schema)}"


def in_server(place: str, extension: str) -> str:
    """The quoted name of a table of the attached database, in the words of a server itself."""
    name = place.removeprefix("source.")
    return name.replace('"', "`") if extension == "mysql" else name


class Window(NamedTuple):
    """The watermarks that a night reads, as naive UTC: from ``begins`` (None: all of them) to before ``ends``."""

    begins: datetime | None
    ends: datetime


Key = tuple[str | None, ...]  # the values of the declared key as text, as they land


class SourceCount(NamedTuple):
    """Rows of a table by the database's own count; those before and after a window of the watermark, and before the next night's.

    ``ends`` are the first and the last key in the window, in the database's own order; none where it has no key.
    """

    in_source: int
    before: int
    after: int
    before_next: int
    ends: tuple[Key, ...] = ()


@dataclass(frozen=True)
class DatabaseTable:
    """A table of the attached database, within one transaction: what is counted and what is read is the same state of it.

    ``types`` are those of the declared columns as they land; ``undeclared`` is the number of other columns.
    """

    connection: duckdb.DuckDBPyConnection
    platform: Platform
    table: SourceTable
    technology: str  # 'duckdb', 'sqlite', 'postgres' or 'mysql'
    place: str  # of the table, in the database's words
    types: Mapping[str, str]
    as_read: Mapping[str, str]  # the driver's types
    undeclared: int

    @property
    def bounded_by_source(self) -> bool:
        """Whether the database itself can compare the watermark."""
        kind = self.types.get(self.table.watermark or "", "")
        return self.technology != "sqlite" and (kind == "DATE" or kind.startswith("TIMESTAMP"))

    def relation(self, window: Window) -> Relation:
        """The rows in the window, and those whose watermark is missing or infinite."""
        where = f" where {self._within(window)}" if self.bounded_by_source else ""
        source = self._columns(self.table.extracted, where)
        values = ", ".join(f"{self._landed(name)} as {identifier(name)}" for name in self.table.extracted)
        problems = ", ".join(filter(None, map(self._problem, self.table.extracted)))
        query = (
            f"select {values}, null::varchar as _file, null::timestamp as _visible_at, null::bigint as _record,"
            f" {f'coalesce({problems})' if problems else 'null'}::varchar as _unreadable from ({source})"
        )
        return Relation(query, {**self.types}, self.undeclared)

    def watermarks(self, limit: int | None = None) -> str:
        """SQL of the watermarks that are not missing; the database itself ends the reading after ``limit`` rows."""
        assert self.table.watermark
        name = self.table.watermark
        rest = f" where {self._quoted(name)} is not null" + (f" limit {limit}" if limit else "")
        return f"select {self._landed(name)} as {identifier(name)} from ({self._columns((name,), rest)})"

    def _columns(self, names: Sequence[str], rest: str) -> str:
        """SQL of the columns as the database gives them; ``rest`` is what follows the name of the table."""
        selected = ", ".join(f"{self._read(name)} as {self._quoted(name)}" for name in names)
        return self._asked(f"select {selected} from {self.place}{rest}")

    def count(self, window: Window, next_begins: datetime) -> SourceCount:
        """Rows and range of the key by the database itself, which shares no code with what reads all rows.

        What it cannot compare counts as in the window.
        """
        before = after = before_next = "0"
        if self.bounded_by_source:
            column, finite = self._quoted(self.table.watermark or ""), self._finite()
            before = self._sum(f"{column} < {self._bound(window.begins)} and {finite}") if window.begins else "0"
            after = self._sum(f"{column} >= {self._bound(window.ends)} and {finite}")
            before_next = self._sum(f"{column} < {self._bound(next_begins)} and {finite}")
        asked = f"select count(*) as a, {before} as b, {after} as c, {before_next} as d from {self.place}"
        [row] = self.connection.execute(f"select * from ({self._asked(asked)})").fetchall()
        in_source, before_window, after_window, before_next_window = (int(number or 0) for number in row)
        return SourceCount(in_source, before_window, after_window, before_next_window, self._ends(window))

    def _ends(self, window: Window) -> tuple[Key, ...]:
        """The first and the last key in the window. Rows without a key are no end."""
        key = self.table.key
        conditions = [f"{self._quoted(name)} is not null" for name in key]
        if self.bounded_by_source:
            conditions.append(self._within(window))
        selected = ", ".join(f"{self._read(name)} as {self._quoted(name)}" for name in key)
        ends = " union all ".join(
            f"select * from (select {selected} from {self.place} where {' and '.join(conditions)}"
            f" order by {', '.join(f'{self._sorted(name)} {direction}' for name in key)} limit 1) as {direction}_end"
            for direction in ("asc", "desc")
        )
        values = ", ".join(f"({self._landed(name)})::varchar" for name in key)
        return tuple(self.connection.execute(f"select {values} from ({self._asked(ends)})").fetchall())

    def _sorted(self, name: str) -> str:
        """SQL of the database that puts the column in an order; PostgreSQL has none for some types, such as JSON."""
        has_order = self.technology != "postgres" or self._is_text(name)
        return self._quoted(name) if has_order else f"{self._quoted(name)}::text"

    def _within(self, window: Window) -> str:
        column, finite = self._quoted(self.table.watermark or ""), self._finite()
        begins = f"{column} >= {self._bound(window.begins)} and " if window.begins else ""
        return f"({column} is null or not ({finite}) or ({begins}{column} < {self._bound(window.ends)}))"

    def _finite(self) -> str:
        if self.technology == "mysql":
            return "1 = 1"
        return f"isfinite({self._quoted(self.table.watermark or '')})"

    def _sum(self, condition: str) -> str:
        return f"sum(case when {condition} then 1 else 0 end)"

    def _bound(self, instant: datetime | None) -> str:
        """An instant as the watermark's column is written: in UTC where it holds instants, else on the platform's clock."""
        assert instant is not None
        kind = self.types[self.table.watermark or ""]
        if kind == INSTANT:
            zone = "" if self.technology == "mysql" else "+00"
            return f"{'timestamp' if self.technology == 'mysql' else 'timestamptz'} '{instant:%Y-%m-%d %H:%M:%S}{zone}'"
        local = instant.replace(tzinfo=UTC).astimezone(ZoneInfo(self.platform.timezone))
        return f"date '{local:%Y-%m-%d}'" if kind == "DATE" else f"timestamp '{local:%Y-%m-%d %H:%M:%S}'"

    def _asked(self, sql: str) -> str:
        """SQL for DuckDB that has the database answer ``sql``."""
        return (
            sql if self.technology == "duckdb" else f"select * from {self.technology}_query('source', {literal(sql)})"
        )

    def _quoted(self, name: str) -> str:
        return "`" + name.replace("`", "``") + "`" if self.technology == "mysql" else identifier(name)

    def _read(self, name: str) -> str:
        """SQL of the database that gives the column's value as text, or as the driver reads it."""
        column = self._quoted(name)
        if self.technology == "sqlite":
            return f"case when {column} is not null then hex({column}) end"
        if self.technology == "duckdb" or not self._is_text(name):
            return column
        if self.technology == "postgres":
            return f"{column}::text"
        return f"concat(cast({column} as char), '+00')" if self.types[name] == INSTANT else f"cast({column} as char)"

    def _is_text(self, name: str) -> bool:
        kind = self.types[name]
        return kind in SIMPLE or kind.startswith("DECIMAL") or kind != self.as_read[name]

    def _landed(self, name: str) -> str:
        """SQL of DuckDB that gives the value from what was read, null where it cannot be."""
        column = identifier(name)
        if self.technology == "sqlite":
            return f"try(decode(unhex({column})))"
        if self.technology == "duckdb" or not self._is_text(name) or self.types[name] == "VARCHAR":
            return column
        return f"try_cast({column} as {self.types[name]})"

    def _problem(self, name: str) -> str | None:
        landed = self._landed(name)
        if landed == identifier(name):
            return None
        kind = "text" if self.technology == "sqlite" else self.types[name]
        return f"case when {identifier(name)} is not null and {landed} is null then {literal(f'column {name} holds no {kind}')} end"


def open_table(
    connection: duckdb.DuckDBPyConnection, platform: Platform, table: SourceTable, settings: Settings
) -> DatabaseTable:
    """Attach the database, begin a transaction and look at the table's columns.

    Raises:
        PlatformError: there is no such table, or it lacks a declared column.
    """
    schema = attach(connection, platform, settings, read_only=True)
    connection.execute("begin transaction")
    technology = EXTENSION[platform.address(settings).scheme]
    name = table.name
    place = {"duckdb": f"{schema}.{identifier(name)}", "sqlite": identifier(name)}.get(
        technology, in_server(f"{schema}.{identifier(name)}", technology)
    )
    as_read = _columns(connection, platform, schema, table, technology)
    declared = [column.name for column in table.columns]
    missing = [column for column in table.extracted if column not in as_read]
    if missing:
        raise PlatformError(
            platform.name,
            name,
            f"the source has no column {', '.join(map(repr, missing))}",
            received=f"the declared columns {', '.join(name for name in declared if name in as_read) or 'none'}"
            f" and {len({*as_read} - {*declared})} others",
            remedy=f"restore the column, or correct _{platform.name}__sources.yml",
        )
    in_database = schema.removeprefix("source.").strip('"')
    exact = _exact_types(connection, technology, in_database, name, as_read)
    types = {column: exact[column] for column in declared if column in exact}
    return DatabaseTable(connection, platform, table, technology, place, types, as_read, len({*as_read} - {*declared}))


def _columns(
    connection: duckdb.DuckDBPyConnection, platform: Platform, schema: str, table: SourceTable, technology: str
) -> dict[str, str]:
    """The driver's type of each column; SQLite's own, with generated columns, which the driver leaves out."""
    tables = [
        name
        for (name,) in connection.execute(
            "select table_name from information_schema.tables"
            " where table_catalog = 'source' and 'source.\"' || table_schema || '\"' = $schema order by table_name",
            {"schema": schema},
        ).fetchall()
    ]
    if table.name not in tables:
        raise PlatformError(
            platform.name,
            table.name,
            "the source has no such table",
            received=f"a schema with {len(tables)} other tables" if tables else "an empty schema",
            remedy=f"correct the name in _{platform.name}__sources.yml, or restore the table",
        )
    if technology == "sqlite":
        asked = f"select name, coalesce(type, '') as type from pragma_table_xinfo({literal(table.name)})"
        found = connection.execute(f"select name, type from sqlite_query('source', {literal(asked)})").fetchall()
        return {name: str(kind).upper() for name, kind in found}
    described = connection.execute(f"describe {schema}.{identifier(table.name)}").fetchall()
    return {name: kind for name, kind, *_ in described}


def _exact_types(
    connection: duckdb.DuckDBPyConnection, technology: str, schema: str, table: str, as_read: Mapping[str, str]
) -> dict[str, str]:
    """The types as they land. Numbers that DuckDB has no exact type for are text, and MySQL's TIMESTAMP is an instant."""
    if technology not in ("postgres", "mysql"):
        return {**as_read}
    asked = (
        "select column_name as name, lower(data_type) as kind from information_schema.columns"
        f" where table_schema = {literal(schema)} and table_name = {literal(table)}"
    )
    own = dict(connection.execute(f"select name, kind from {technology}_query('source', {literal(asked)})").fetchall())
    types = {**as_read}
    for name, kind in as_read.items():
        if own.get(name) in ("numeric", "decimal") and not kind.startswith("DECIMAL"):
            types[name] = "VARCHAR"
        elif technology == "mysql" and own.get(name) == "timestamp":
            types[name] = INSTANT
    return types


def _require_file(platform: Platform, address: Address) -> None:
    if not Path(address.path).is_file():
        raise PlatformError(
            platform.name,
            None,
            "the database file is missing",
            received=address.path,
            remedy=f"set {platform.connection} to where it lies, or make the demo's with `crossrec demo`",
        )
