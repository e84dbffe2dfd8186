"""The records of a platform's files: read, and counted by other code than reads them."""

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from infra.duckdb_connection import duckdb_connection
from infra.platforms.declaration import Platform, SourceTable
from infra.platforms.errors import FOREIGN_ERRORS, PlatformError, as_platform_error, guarded
from infra.platforms.files import Incoming, changing, list_files, local_copy, open_folder
from infra.platforms.manifest import SourceFile
from infra.platforms.relation import Relation, identifier, literal
from infra.platforms.text_files import (
    FileRefused,
    Tally,
    count_lines,
    csv_batches,
    csv_dialect,
    encoding_of,
    json_batches,
)
from infra.platforms.times import require_times
from infra.settings import Settings

ROWS = 50_000  # rows that wait before they are inserted: one statement for many small files
Header = tuple[str, list[str], int]  # a file, the declared columns that it has, and how many others


def file_relation(
    connection: duckdb.DuckDBPyConnection,
    platform: Platform,
    table: SourceTable,
    files: Sequence[Incoming],
    any_file: Path | None,
) -> tuple[Relation, list[SourceFile]]:
    """All records of the files in their order, and what was counted in each file.

    ``any_file`` tells the columns where no Parquet file is to be read.

    Raises:
        PlatformError: a file cannot be used, or holds other records than were read. It is named.
    """
    if table.file_format == "parquet":
        return _parquet(connection, platform, table, files, any_file)
    wanted = [*table.extracted]
    columns = wanted if table.file_format == "csv" else ["line"]
    texts = "".join(f"{identifier(name)} varchar, " for name in columns)
    connection.execute(
        f"create temp table records ({texts}_file varchar, _visible_at timestamp, _record bigint, _unreadable varchar)"
    )
    tallies: dict[str, Tally] = {}
    headers: list[Header] = []
    waiting: list[pa.Table] = []
    for file in files:
        tally = tallies[file.name] = Tally()
        try:
            for batch in _batches(table, file, wanted, tally, headers):
                waiting.append(_of_file(batch, file))
                if sum(rows.num_rows for rows in waiting) > ROWS:
                    waiting = _insert(connection, waiting)
        except FileRefused as error:
            raise _refused(platform, table, file, error) from None
        if count_lines(file.path, encoding_of(file.path, table.encoding)) != tally.lines:
            raise changing(platform, table, file.name)
    _insert(connection, waiting)
    if table.file_format == "jsonl":
        headers = _json_headers(connection, table, wanted)
    undeclared = _require_columns_of_files(platform, table, headers, wanted)
    query = "from records" if table.file_format == "csv" else _json_query(wanted)
    relation = Relation(query, dict.fromkeys(wanted, "VARCHAR"), undeclared)
    return relation, _counted(connection, platform, table, files, relation, tallies)


def _batches(
    table: SourceTable, file: Incoming, wanted: list[str], tally: Tally, headers: list[Header]
) -> Iterator[pa.RecordBatch]:
    encoding = encoding_of(file.path, table.encoding)
    if table.file_format == "jsonl":
        yield from json_batches(file.path, encoding, tally)
    elif file.found.bytes:
        dialect = csv_dialect(file.path, wanted, delimiter=table.delimiter, quote=table.quote, encoding=encoding)
        headers.append((file.name, [*dialect.positions], dialect.undeclared))
        yield from csv_batches(file.path, dialect, wanted, tally)


def _of_file(batch: pa.RecordBatch, file: Incoming) -> pa.Table:
    name, visible_at = pa.scalar(file.name, pa.string()), pa.scalar(file.visible_at, pa.timestamp("us"))
    rows = pa.Table.from_batches([batch]).append_column("_file", pa.repeat(name, batch.num_rows))
    return rows.append_column("_visible_at", pa.repeat(visible_at, batch.num_rows))


def _insert(connection: duckdb.DuckDBPyConnection, waiting: list[pa.Table]) -> list[pa.Table]:
    """Insert what waits, and return that nothing waits any more."""
    if waiting:
        connection.register("incoming", pa.concat_tables(waiting))
        connection.execute("insert into records by name from incoming")
        connection.unregister("incoming")
    return []


def _counted(
    connection: duckdb.DuckDBPyConnection,
    platform: Platform,
    table: SourceTable,
    files: Sequence[Incoming],
    relation: Relation,
    tallies: dict[str, Tally],
) -> list[SourceFile]:
    found = {
        name: (rows, unreadable)
        for name, rows, unreadable in connection.execute(
            f"select _file, count(*), count(_unreadable) from ({relation.query}) group by all"
        ).fetchall()
    }
    counted = []
    for file in files:
        (rows, unreadable), tally = found.get(file.name, (0, 0)), tallies[file.name]
        if rows != tally.records + tally.unreadable:
            raise changing(platform, table, file.name)
        counted.append(file.found.model_copy(update={"lines": tally.lines, "records": rows, "unreadable": unreadable}))
    return counted


def _refused(platform: Platform, table: SourceTable, file: Incoming, error: FileRefused) -> PlatformError:
    return PlatformError(
        platform.name,
        table.name,
        f"the file {file.name} {error}",
        received=f"{file.found.bytes:,} bytes",
        remedy=f"correct the file at its source, or declare delimiter, quote or encoding in _{platform.name}__sources.yml",
    )


# --- JSON lines

IS_OBJECT = "coalesce(case when json_valid(line) then json_type(line) = 'OBJECT' end, false)"


def _json_query(wanted: Sequence[str]) -> str:
    """SQL of the declared keys as text. A number stands as it is written, but 12.0 is the number 12, and NaN is none."""
    paths = ", ".join(literal(f'$."{name}"') for name in wanted)
    fields = ", ".join(
        f"{_json_text(f'fields[{place}]')} as {identifier(name)}" for place, name in enumerate(wanted, 1)
    )
    return (
        f"select {fields}, _file, _visible_at, _record,"
        " coalesce(_unreadable, case when not is_object then 'no JSON object' end) as _unreadable"
        f" from (select *, case when is_object then json_extract(line, [{paths}]) end as fields"
        f" from (select *, {IS_OBJECT} as is_object from records))"
    )


def _json_text(value: str) -> str:
    return (
        f"case when {value}::varchar in ('NaN', 'Infinity', '-Infinity') then null"
        f" when regexp_full_match({value}::varchar, '-?[0-9]+[.]0+') then split_part({value}::varchar, '.', 1)"
        f" else {value} ->> '$' end"
    )


def _json_headers(connection: duckdb.DuckDBPyConnection, table: SourceTable, wanted: Sequence[str]) -> list[Header]:
    """The keys of all files together, under the name of the newest: a writer often leaves out a key that is null."""
    found = connection.execute(
        f"select distinct unnest(json_keys(line)) from records where {IS_OBJECT}"  # a key may be anything: it is not printed
    ).fetchall()
    keys = {key for (key,) in found}
    [(newest,)] = connection.execute("select max(_file) from records").fetchall()
    has = [name for name in wanted if name in keys]
    return [(newest, has, len(keys - {column.name for column in table.columns}))] if keys else []


def _require_columns_of_files(
    platform: Platform, table: SourceTable, headers: Sequence[Header], wanted: Sequence[str]
) -> int:
    """How many columns nobody declared. A column may come with a later file, but not go with one.

    It must be in the newest file, and in all files after the first one that has it. A key must be in every file.
    """
    undeclared = max((count for _, _, count in headers), default=0)
    for column in wanted:
        without = [(name, has) for name, has, _ in headers if column not in has]
        if not without:
            continue
        came_later = [column in has for _, has, _ in headers]
        if came_later == sorted(came_later) and came_later[-1] and column not in table.key:
            continue
        raise _no_column(platform, table, column, *without[-1])
    return undeclared


def _no_column(platform: Platform, table: SourceTable, column: str, file: str, has: Sequence[str]) -> PlatformError:
    return PlatformError(
        platform.name,
        table.name,
        f"the source has no column '{column}'",
        received=f"{file} with the declared columns {', '.join(has) or 'none'}",
        remedy=f"restore the column, or correct _{platform.name}__sources.yml",
    )


def _parquet(
    connection: duckdb.DuckDBPyConnection,
    platform: Platform,
    table: SourceTable,
    files: Sequence[Incoming],
    any_file: Path | None,
) -> tuple[Relation, list[SourceFile]]:
    paths = [str(file.path) for file in files] or [str(any_file)]
    names = {column.name for column in table.columns}
    wanted = [*table.extracted]
    headers: list[Header] = []
    by_path = {str(file.path): file.name for file in files}
    for path in paths:
        describe = partial(connection.execute, f"describe from read_parquet({literal(path)})")
        described = guarded(platform, table.name, describe, by_path.get(path)).fetchall()
        has = [name for name, *_ in described]
        headers.append((by_path.get(path, path), [name for name in wanted if name in has], len({*has} - names)))
    undeclared = _require_columns_of_files(platform, table, headers, wanted)
    source = (
        "read_parquet(["
        + ", ".join(map(literal, paths))
        + "], union_by_name = true, filename = '_path', file_row_number = true)"
    )
    selected = ", ".join(identifier(name) for name in wanted)
    types = {
        name: kind for name, kind, *_ in connection.execute(f"describe select {selected} from {source}").fetchall()
    }
    connection.register(
        "parquet_files",
        pa.table(
            {
                "_path": pa.array([str(file.path) for file in files], pa.string()),
                "_file": pa.array([file.name for file in files], pa.string()),
                "_visible_at": pa.array([file.visible_at for file in files], pa.timestamp("us")),
            }
        ),
    )
    query = (
        f"select {selected}, _file, _visible_at, file_row_number + 1 as _record, null::varchar as _unreadable"
        f" from {source} join parquet_files using (_path)"
    )
    with naming_file(connection, platform, table, files):
        read = dict(connection.execute(f"select _file, count(*) from ({query}) group by all").fetchall())
    counted = []
    for file in files:
        there = guarded(platform, table.name, partial(pq.read_metadata, file.path), file.name).num_rows
        if there != read.get(file.name, 0):
            raise PlatformError(
                platform.name,
                table.name,
                f"the file {file.name} has other rows than its footer says",
                received=f"{read.get(file.name, 0):,} rows, where the footer says {there:,}",
                remedy="restore it at its source; if it is being written, let its writer finish",
                retryable=True,
            )
        counted.append(file.found.model_copy(update={"lines": there, "records": there}))
    return Relation(query, types, undeclared), counted


@contextmanager
def naming_file(
    connection: duckdb.DuckDBPyConnection, platform: Platform, table: SourceTable, files: Sequence[Incoming]
) -> Iterator[None]:
    """Read all the files at once; where that fails, each is read alone, so that the error names the one that is damaged."""
    try:
        yield
        return
    except FOREIGN_ERRORS as error:
        damaged = (file.name for file in files if table.file_format == "parquet" and _is_damaged(connection, file))
        failure = as_platform_error(error, platform, table.name, next(damaged, None))
    raise failure  # outside of the except block: nothing of the driver's error stays attached


def _is_damaged(connection: duckdb.DuckDBPyConnection, file: Incoming) -> bool:
    try:
        connection.execute(f"select max(hash(columns(*))) from read_parquet({literal(str(file.path))})").fetchall()
    except duckdb.Error:
        return True
    return False


# --- for `crossrec doctor`


def inspect_files(platform: Platform, table: SourceTable, settings: Settings) -> str:
    """Read the newest file, and say how many files there are and how that one is written.

    Raises:
        PlatformError: there is no file, the newest one cannot be used, or its watermark holds no times.
    """
    folder = open_folder(platform, settings)
    names = [*list_files(folder, platform, table)]
    with tempfile.TemporaryDirectory() as work, closing(duckdb_connection(settings)) as connection:
        path = local_copy(folder, names[-1], Path(work))
        found = SourceFile(name=names[-1], bytes=path.stat().st_size, modified="", sha256="")
        incoming = Incoming(names[-1], path, None, found, None)
        relation, [counted] = file_relation(connection, platform, table, [incoming], None)
        if table.watermark:
            require_times(connection, platform, table, relation.query, relation.types[table.watermark])
        written = f"{counted.records:,} records" + (
            f", {counted.unreadable:,} unreadable" if counted.unreadable else ""
        )
        if table.file_format == "csv" and counted.bytes:
            encoding = encoding_of(path, table.encoding)
            dialect = csv_dialect(
                path, table.extracted, delimiter=table.delimiter, quote=table.quote, encoding=encoding
            )
            written += f", {encoding}, delimiter {dialect.delimiter!r}, quote {dialect.quote!r}"
        if table.file_format != "parquet" and platform.decimal_mark != ".":
            written += f", decimal mark {platform.decimal_mark!r}"
        if relation.undeclared:
            written += f", {relation.undeclared} columns that nobody declared"
    return f"{table.name}: {len(names):,} files; the newest, {names[-1]}, has {written}"
