"""Write back: a publication's lists into the platform's own warehouse, all at once or not at all."""

import re
from collections import Counter
from contextlib import closing

import duckdb
import pyarrow as pa

from infra.duckdb_connection import duckdb_connection
from infra.platforms.databases import EXTENSION, attach, in_server
from infra.platforms.declaration import FILE_SCHEMES, Platform
from infra.platforms.errors import PlatformError, guarded
from infra.platforms.files import open_folder
from infra.platforms.relation import identifier, literal
from infra.settings import Settings

COLUMNS = {
    "account_id": "varchar",
    "rank": "integer",
    "item_id": "varchar",
    "score": "double",
    "strategy": "varchar",
    "slot": "varchar",
    "propensity": "double",
    "reason": "varchar",
    "as_of": "date",
    "model_version": "varchar",
    "publication_id": "varchar",
    "recommendation_id": "varchar",
}
# to tables and publications that are there already; their types in words that every database knows
ADDED_LATER = {"slot": "text", "propensity": "double precision"}
CHARSET = "incorrect string value|no equivalent in encoding|invalid byte sequence|data too long"
NAMES = ", ".join(identifier(name) for name in COLUMNS)
TYPED = ", ".join(f"{identifier(name)}::{kind} as {identifier(name)}" for name, kind in COLUMNS.items())


def write_back(platform: Platform, publication: pa.Table, settings: Settings) -> int:
    """Make ``publication`` the platform's lists; return how many rows went or came (0: it had them already).

    ``publication`` has the columns of ``COLUMNS`` (``reason`` and those ``ADDED_LATER`` may be missing) and one row per
    account_id and rank; other columns stay here. To roll back, write the earlier publication.

    Raises:
        PlatformError: Nothing was written; the lists of before are still there.
        ValueError: The publication is empty, holds an account and rank twice, or lacks a column.
    """
    with closing(duckdb_connection(settings)) as connection:
        _take(connection, publication)
        target = platform.write_back
        if target is None:
            raise PlatformError(
                platform.name,
                None,
                "the platform asks for no lists",
                received="no write_back",
                remedy=f"leave the platform out, or declare write_back in _{platform.name}__sources.yml",
            )
        if platform.address(settings).scheme in FILE_SCHEMES:
            return guarded(platform, None, lambda: _write_files(connection, platform, target.folder, settings))
        return guarded(platform, target.table, lambda: _write_table(connection, platform, target.table, settings))


def _take(connection: duckdb.DuckDBPyConnection, publication: pa.Table) -> None:
    """Keep the publication as table ``lists``, in the order and types in which it goes out."""
    for name in {"reason", *ADDED_LATER} - {*publication.column_names}:
        publication = publication.append_column(name, pa.nulls(publication.num_rows))
    if missing := {*COLUMNS} - {*publication.column_names}:
        raise ValueError(
            f"a publication needs the columns {', '.join(COLUMNS)}. Missing: {', '.join(sorted(missing))}."
        )
    connection.register("publication", publication)
    connection.execute(f"create temp table lists as select {TYPED} from publication order by account_id, rank")
    connection.execute(
        "update lists set reason = replace(reason, chr(0), '') where contains(reason, chr(0))"
    )  # Postgres has none
    rows, places, nights = connection.execute(
        "select count(*), count(distinct (account_id, rank)), count(distinct as_of) from lists"
    ).fetchall()[0]
    if not rows or places < rows or nights != 1:
        raise ValueError(
            "a publication holds one night, and one row per account and rank."
            f" Received: {rows} rows for {places} accounts and ranks, {nights} nights."
        )


def _write_table(connection: duckdb.DuckDBPyConnection, platform: Platform, table: str, settings: Settings) -> int:
    schema = attach(connection, platform, settings, read_only=False)
    target, staging = f"{schema}.{identifier(table)}", f"{schema}.{identifier(f'{table}__staging')}"
    _make_table(connection, platform, target, settings)
    found = {name for name, *_ in connection.execute(f"describe {target}").fetchall()}
    missing = {*COLUMNS} - found
    if missing and missing <= {*ADDED_LATER}:
        _add_columns(connection, platform, target, sorted(missing), settings)
    elif missing:
        raise PlatformError(
            platform.name,
            table,
            f"the table for the lists lacks {', '.join(repr(name) for name in sorted(missing))}",
            received=f"the columns {', '.join(sorted(found))}",
            remedy="add the columns, or name another table under write_back; crossrec makes it",
        )
    connection.execute(f"drop table if exists {staging}")  # of a killed run
    changed = _difference(connection, f"select {TYPED} from {target}")
    if not changed:
        return 0
    _make_table(connection, platform, staging, settings)
    if not _fits(connection, staging):
        raise PlatformError(
            platform.name,
            table,
            "the database's character set cannot hold the lists, so the earlier ones stay",
            received="reasons with titles of other platforms, in any script",
            remedy="let the database hold UTF-8 (a Postgres database with the encoding UTF8), or leave those titles out by "
            "`shares_reasons_with: none` of their platforms",
        )
    if wrong := _difference(connection, f"select {TYPED} from {staging}"):
        raise PlatformError(
            platform.name,
            table,
            "the lists did not arrive as they were sent, so the earlier ones stay",
            received=f"{wrong} different rows in {table}__staging",
            remedy="look at that table for what the database changed (a trigger, a narrower type), then retry",
        )
    connection.execute("begin")
    try:
        connection.execute(f"delete from {target}")
        connection.execute(f"insert into {target} ({NAMES}) select {NAMES} from {staging}")
        connection.execute("commit")
    except duckdb.Error:
        connection.execute("rollback")
        raise
    connection.execute(f"drop table {staging}")
    return changed


def _fits(connection: duckdb.DuckDBPyConnection, staging: str) -> bool:
    """Fill the table with the lists; False where the database has no room for one of their characters."""
    try:
        connection.execute(f"insert into {staging} ({NAMES}) select {NAMES} from lists")
    except duckdb.Error as error:
        if not re.search(CHARSET, str(error), re.IGNORECASE):
            raise
        return False
    return True


def _make_table(connection: duckdb.DuckDBPyConnection, platform: Platform, target: str, settings: Settings) -> None:
    """Make the table if it is not there. MySQL gives it the database's character set, unless it is told one that holds every title."""
    extension = EXTENSION[platform.address(settings).scheme]
    if extension != "mysql":
        definition = ", ".join(f"{identifier(name)} {kind}" for name, kind in COLUMNS.items())
        connection.execute(f"create table if not exists {target} ({definition})")
        return
    words = {"varchar": "text", "integer": "int"}  # as DuckDB itself would write them
    definition = ", ".join(f"`{name}` {words.get(kind, kind)}" for name, kind in COLUMNS.items())
    create = f"create table if not exists {in_server(target, extension)} ({definition}) character set utf8mb4"
    connection.execute(f"call mysql_execute('source', {literal(create)})")
    connection.execute("call mysql_clear_cache()")


def _add_columns(
    connection: duckdb.DuckDBPyConnection, platform: Platform, target: str, names: list[str], settings: Settings
) -> None:
    """DuckDB alters tables of a server in its own words for types, which a server does not know: so in the server's."""
    extension = EXTENSION[platform.address(settings).scheme]
    for name in names:
        if extension in ("postgres", "mysql"):
            alter = f"alter table {in_server(target, extension)} add column {name} {ADDED_LATER[name]}"
            connection.execute(f"call {extension}_execute('source', {literal(alter)})")
        else:
            connection.execute(f"alter table {target} add column {name} {ADDED_LATER[name]}")
    connection.execute("detach source")
    attach(connection, platform, settings, read_only=False)


def _difference(connection: duckdb.DuckDBPyConnection, query: str) -> int:
    """Rows that are in the query's result or in ``lists``, but not in both."""
    ((rows,),) = connection.execute(
        f"with there as ({query}) select count(*) from"
        " (from (from there except all from lists) union all from (from lists except all from there))"
    ).fetchall()
    return int(rows)


def _write_files(connection: duckdb.DuckDBPyConnection, platform: Platform, folder: str, settings: Settings) -> int:
    """``recommendations-<as_of>.jsonl`` for the record, then ``current.jsonl``, which consumers read."""
    files = open_folder(platform, settings)
    lines = [
        f"{row}\n".encode() for (row,) in connection.execute("select to_json(lists)::varchar from lists").fetchall()
    ]
    (as_of,) = connection.execute("select any_value(as_of)::varchar from lists").fetchall()[0]
    content = b"".join(lines)
    before: dict[str, bytes] = {}
    for name in (f"recommendations-{as_of}.jsonl", "current.jsonl"):
        key = f"{folder}/{name}"
        try:
            before[name], _ = files.read(key)
        except FileNotFoundError:
            before[name] = b""
        if before[name] != content:
            files.put(key, content)
    gone, come = Counter(before["current.jsonl"].splitlines(keepends=True)), Counter(lines)
    return (gone - come).total() + (come - gone).total()
