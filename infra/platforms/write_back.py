"""Write back: a publication's lists into the platform's own warehouse, all at once or not at all."""

from collections import Counter
from contextlib import closing

import duckdb
import pyarrow as pa

from infra.duckdb_connection import duckdb_connection
from infra.platforms.databases import EXTENSION, attach
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
    definition = ", ".join(f"{identifier(name)} {kind}" for name, kind in COLUMNS.items())
    connection.execute(f"create table if not exists {target} ({definition})")
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
    connection.execute(f"create table {staging} ({definition})")
    connection.execute(f"insert into {staging} ({NAMES}) select {NAMES} from lists")
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


def _add_columns(
    connection: duckdb.DuckDBPyConnection, platform: Platform, target: str, names: list[str], settings: Settings
) -> None:
    """DuckDB alters tables of a server in its own words for types, which a server does not know: so in the server's."""
    extension = EXTENSION[platform.address(settings).scheme]
    for name in names:
        if extension in ("postgres", "mysql"):
            there = target.removeprefix("source.").replace('"', "`" if extension == "mysql" else '"')
            alter = f"alter table {there} add column {name} {ADDED_LATER[name]}"
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
