"""The demo's platforms, to be damaged: tonight's rows of a table as text, and back into the platform's own warehouse."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import duckdb

from infra.duckdb_connection import duckdb_connection
from infra.settings import Settings
from tests.bench.corruptions import Corruption, Sheet

ZONES = {"shop": "America/New_York"}
WAREHOUSES = {"stream": ("stream.duckdb", "duckdb"), "shop": ("shop.sqlite", "sqlite")}
HELPERS = ("number", "draw", "days_ago")  # columns that corruptions may use and the platform does not have


class ChangesNothing(ValueError):
    """The corruption finds nothing to change on this night."""


@dataclass
class BadSource:
    """One table of the demo in ``home``, as the night of ``as_of`` meets it: its rows are those of the day before."""

    home: Path
    sheet: Sheet
    as_of: date
    changed_share: float = field(default=0.0, init=False)

    def corrupt(self, corruption: Corruption) -> None:
        """Do what the corruption says. Afterwards `changed_share` is the share of tonight's rows that it made or changed."""
        for other in corruption.also:
            BadSource(self.home, other.sheet, self.as_of).corrupt(other)
        with self._opened() as connection:
            if corruption.scope == "late" and not self.sheet.known:
                self._send_tomorrow()
                return
            if corruption.scope == "reordered":
                self._reorder(connection, corruption)
                return
            if corruption.scope == "schema" and self.sheet.known:
                _run(connection, corruption, f"source.{self.sheet.table}")
                self.changed_share = 1.0
                return
            self._read(connection, corruption)
            connection.execute("create temp table before as from rows")
            _run(connection, corruption, "rows")
            self._count(connection, corruption)
            for column in HELPERS:
                connection.execute(f"alter table rows drop column {column}")
            self._write(connection, corruption)

    @property
    def window(self) -> tuple[str, str]:
        """The first watermark of the night and the first after it, as the platform writes them."""
        zone = ZoneInfo(ZONES.get(self.sheet.platform, "UTC"))
        midnights = (datetime.combine(self.as_of - timedelta(days), time(), UTC) for days in (1, 0))
        begins, ends = (f"{midnight.astimezone(zone):%Y-%m-%d %H:%M:%S}" for midnight in midnights)
        return begins, ends

    @property
    def demo(self) -> Path:
        return self.home / "demo"

    @property
    def file(self) -> Path:
        """The forum's file of the night; its name says when its rows became known."""
        name = f"{self.sheet.table}-{self.as_of - timedelta(1)}.jsonl"
        return self.demo / self.sheet.platform / self.sheet.table / name

    @contextmanager
    def _opened(self) -> Iterator[duckdb.DuckDBPyConnection]:
        with duckdb_connection(Settings(home=self.home)) as connection:
            connection.execute(
                "create macro moved(t, span) as replace(strftime(cast(left(t, 19) as timestamp) + span, '%Y-%m-%d %H:%M:%S'), "
                "' ', substr(t, 11, 1)) || substr(t, 20)"
            )
            form = "T00:00:00+00:00" if self.sheet.known is None else " 00:00:00"
            connection.execute(f"create macro night_text() as '{self.as_of}{form}'")
            if self.sheet.known:
                name, kind = WAREHOUSES[self.sheet.platform]
                if kind != "duckdb":
                    connection.execute(f"load {kind}")
                connection.execute(f"attach '{self.demo / name}' as source (type {kind})")
            yield connection

    def _read(self, connection: duckdb.DuckDBPyConnection, corruption: Corruption) -> None:
        """Tables ``rows`` and ``earlier``: those of tonight and those before, all columns as text."""
        known = self._from_database(connection) if self.sheet.known else self._from_files(connection)
        connection.execute(
            "create temp table everything as select cast(columns(* exclude (days_ago)) as varchar), days_ago, "
            f"row_number() over () as number, hash(row_number() over ()) / 18446744073709551616.0 as draw from ({known}) "
            "where days_ago >= 0"
        )
        tonight = "true" if corruption.scope == "export" else "days_ago = 0"
        connection.execute(f"create temp table rows as from everything where {tonight}")
        set_known = f" replace ('{self._middle()}' as {self.sheet.known})" if self.sheet.known else ""
        connection.execute(f"create temp table earlier as select *{set_known} from everything where days_ago > 0")
        if corruption.scope == "export" and self.sheet.known:
            connection.execute(f"update rows set {self.sheet.known} = '{self._middle()}'")

    def _from_database(self, connection: duckdb.DuckDBPyConnection) -> str:
        begins, _ = self.window
        known = f"cast({self.sheet.known} as timestamp)"
        days = f"cast(ceil(epoch(cast('{begins}' as timestamp) - {known}) / 86400.0) as integer)"
        before = f"{known} < cast('{self.window[1]}' as timestamp)"
        return f"select *, greatest(0, {days}) as days_ago from source.{self.sheet.table} where {before}"

    def _from_files(self, connection: duckdb.DuckDBPyConnection) -> str:
        """Lines that are no JSON stay out of `rows`; `_write` puts them back."""
        first = self.demo / self.sheet.platform / self.sheet.table / f"{self.sheet.table}-*.jsonl"
        day = "cast(regexp_extract(filename, '([0-9-]{10})[.]jsonl$', 1) as date)"
        source = (
            f"read_json('{first}', format = 'newline_delimited', ignore_errors = true, filename = true, "
            "auto_detect = true, dateformat = 'none', timestampformat = 'none', sample_size = -1)"
        )
        days = f"cast(date '{self.as_of}' - {day} - 1 as integer)"
        first_role = next(iter(self.sheet.roles.values()))  # null in all lines that are no JSON
        return f"select * exclude (filename), {days} as days_ago from {source} where {days} >= 0 and {first_role} is not null"

    def _middle(self) -> str:
        begins, _ = self.window
        return f"{datetime.fromisoformat(begins) + timedelta(hours=12):%Y-%m-%d %H:%M:%S}"

    def _count(self, connection: duckdb.DuckDBPyConnection, corruption: Corruption) -> None:
        if corruption.scope == "schema":
            self.changed_share = 1.0
            return
        [(changed, rows)] = connection.execute(
            "select (select count(*) from (from rows except all from before)), (select count(*) from rows)"
        ).fetchall()
        [(lost,)] = connection.execute("select count(*) from (from before except all from rows)").fetchall()
        self.changed_share = changed / rows if rows else float(lost > 0)
        if not changed and not lost and corruption.sql:
            raise ChangesNothing(f"corruption '{corruption.name}' changes nothing on the night of {self.as_of}")

    def _write(self, connection: duckdb.DuckDBPyConnection, corruption: Corruption) -> None:
        if self.sheet.known:
            self._to_database(connection, whole=corruption.scope == "export")
        else:
            self._to_file(connection, corruption.encoding)

    def _to_database(self, connection: duckdb.DuckDBPyConnection, *, whole: bool) -> None:
        """The rows in place of the source's of tonight, or of all so far; a column of DuckDB that no longer holds its type becomes text."""
        begins, ends = self.window
        known, table = self.sheet.known, f"source.{self.sheet.table}"
        replaced = f"{known} < '{ends}'"
        if not whole:
            replaced += f" and {known} >= '{begins}'"
        if WAREHOUSES[self.sheet.platform][1] == "sqlite":
            rows = connection.execute("from rows").fetchall()
            connection.execute("detach source")
            self._to_sqlite(replaced, rows)
            return
        types = {name: kind for name, kind, *_ in connection.execute(f"describe {table}").fetchall()}
        for name in [name for name, kind in types.items() if not _fits(connection, name, kind)]:
            connection.execute(f"alter table {table} alter column {name} type varchar")
            types[name] = "varchar"
        columns = ", ".join(f"cast({name} as {kind}) as {name}" for name, kind in types.items())
        connection.execute(f"delete from {table} where {replaced}")
        connection.execute(f"insert into {table} select {columns} from rows")

    def _to_sqlite(self, replaced: str, rows: list[tuple[str | None, ...]]) -> None:
        """By SQLite's own client: it gives each text the type of its column, and keeps as text what has another."""
        with closing(sqlite3.connect(self.demo / WAREHOUSES[self.sheet.platform][0])) as client, client:
            client.execute(f"delete from {self.sheet.table} where {replaced}")
            if rows:
                marks = ", ".join("?" * len(rows[0]))
                client.executemany(f"insert into {self.sheet.table} values ({marks})", rows)

    def _reorder(self, connection: duckdb.DuckDBPyConnection, corruption: Corruption) -> None:
        """Move a column to the front; each column keeps the type that the platform declared."""
        first, table = corruption.sql, self.sheet.table
        self.changed_share = 1.0
        if not self.sheet.known:
            self._read(connection, corruption)
            connection.execute(
                f"create table moved as select {first}, * exclude ({', '.join((first, *HELPERS))}) from rows"
            )
            connection.execute("drop table rows")
            connection.execute("alter table moved rename to rows")
            self._to_file(connection, corruption.encoding)
        elif WAREHOUSES[self.sheet.platform][1] == "duckdb":
            connection.execute(f"create temp table moved as select {first}, * exclude ({first}) from source.{table}")
            connection.execute(f"drop table source.{table}")
            connection.execute(f"create table source.{table} as from moved")
        else:
            connection.execute("detach source")
            with closing(sqlite3.connect(self.demo / WAREHOUSES[self.sheet.platform][0])) as client, client:
                columns = [(name, kind) for _, name, kind, *_ in client.execute(f"pragma table_info({table})")]
                columns.sort(key=lambda column: column[0] != first)
                client.execute(f"alter table {table} rename to moved")
                client.execute(f"create table {table} ({', '.join(' '.join(column) for column in columns)})")
                client.execute(f"insert into {table} select {', '.join(name for name, _ in columns)} from moved")
                client.execute("drop table moved")

    def _send_tomorrow(self) -> None:
        """The file of the night has come only by the next one, in front of that night's own lines."""
        tomorrow = BadSource(self.home, self.sheet, self.as_of + timedelta(1)).file
        own = tomorrow.read_text(encoding="utf-8") if tomorrow.exists() else ""
        tomorrow.write_text(self.file.read_text(encoding="utf-8") + own, encoding="utf-8")
        self.file.unlink()
        self.changed_share = 1.0

    def _to_file(self, connection: duckdb.DuckDBPyConnection, encoding: str) -> None:
        broken = []
        if self.file.exists():
            lines = self.file.read_text(encoding="utf-8").splitlines()
            [(flags,)] = connection.execute("select list_transform(?, l -> json_valid(l))", [lines]).fetchall()
            broken = [line for line, valid in zip(lines, flags, strict=True) if not valid]
        names = [name for name, *_ in connection.execute("describe rows").fetchall()]
        typed = {"stars": "bigint", "year": "integer", "available": "boolean", "tags": "varchar[]"}
        casts = ", ".join(
            f"cast({name} as {typed[name]}) as {name}"
            if name in typed and _fits(connection, name, typed[name])
            else name
            for name in names
        )
        found = connection.execute(f"select cast(to_json(one) as varchar) from (select {casts} from rows) as one")
        text = "\n".join([*(line for (line,) in found.fetchall()), *broken])
        self.file.parent.mkdir(parents=True, exist_ok=True)
        self.file.write_text(text + "\n" if text else "", encoding=encoding, errors="replace")


def _run(connection: duckdb.DuckDBPyConnection, corruption: Corruption, table: str) -> None:
    if corruption.sql:
        connection.execute(corruption.on(table))


def _fits(connection: duckdb.DuckDBPyConnection, name: str, kind: str) -> bool:
    """Whether every value of the column can be read back as this type; 001 and 1.0 are no whole numbers."""
    back = f"try_cast({name} as {kind})"
    same = f" or cast({back} as varchar) != {name}" if kind in ("BIGINT", "INTEGER") else ""
    [(lost,)] = connection.execute(
        f"select count(*) from rows where {name} is not null and ({back} is null{same})"
    ).fetchall()
    return not lost
