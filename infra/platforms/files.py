"""Platforms that are folders of files, on disk or on S3. What cannot be read there is kept, and marked as such."""

import csv
import io
import re
from collections.abc import Iterable, Iterator
from datetime import date, datetime
from itertools import groupby
from pathlib import Path

import duckdb
import pyarrow as pa

from infra.duckdb_connection import create_s3_secret
from infra.lake import Lake, LocalLake, S3Lake, open_lake
from infra.platforms.declaration import Platform, SourceTable
from infra.platforms.errors import PlatformError
from infra.platforms.relation import Relation, identifier, literal
from infra.settings import Settings

CHUNK = 1 << 24  # bytes of a file read at once
HEADER = 1 << 16  # bytes in which a CSV file's header ends


def open_folder(platform: Platform, settings: Settings) -> Lake:
    """The platform's folder or bucket as a lake of its own."""
    address = platform.address(settings)
    if address.scheme == "s3":
        return open_lake(settings, f"s3://{address.host}{address.path}")
    if not Path(address.path).is_dir():
        raise PlatformError(
            platform.name,
            None,
            "the folder is missing",
            received=address.path,
            remedy=f"set {platform.connection} to where it lies, or make the demo's with `crossrec demo`",
        )
    return open_lake(settings, address.path)


def file_relation(
    connection: duckdb.DuckDBPyConnection,
    platform: Platform,
    table: SourceTable,
    since: datetime | None,
    until: datetime,
    settings: Settings,
) -> Relation:
    """The files whose date lies in [since, until), or the one file of a path without {date}, ordered by name."""
    folder = open_folder(platform, settings)
    if isinstance(folder, S3Lake) and table.file_format != "jsonl":
        create_s3_secret(connection, folder, "source_login")
    files = list_files(folder, platform, table)
    chosen = [
        key
        for key, day in files.items()
        if day is None or ((since is None or since.date() <= day) and day < until.date())
    ]
    if table.file_format == "jsonl":
        return _json_lines(connection, folder, table, {key: files[key] for key in chosen})
    if table.file_format == "csv":
        return _csv(connection, folder, table, {key: files[key] for key in chosen})
    return _parquet(connection, folder, table, chosen or [*files][:1])


def list_files(folder: Lake, platform: Platform, table: SourceTable) -> dict[str, date | None]:
    """Every file of the table with its {date} (None: the path has none), by name."""
    path = table.path or ""
    files: dict[str, date | None] = {}
    for key in folder.list(path.partition("{date}")[0]):
        try:
            day = table.date_in(key)
        except ValueError:
            raise PlatformError(
                platform.name,
                table.name,
                "a file's name holds no calendar date",
                received=key,
                remedy="rename the file, or move it out of the folder",
            ) from None
        if not day and key != path:
            continue
        if isinstance(folder, LocalLake) and folder.is_linked(key):
            raise PlatformError(
                platform.name,
                table.name,
                "a file is a symbolic link, or lies in a folder that is one: whoever writes into the platform's folder could have "
                "any file of this machine read",
                received=key,
                remedy="put the file itself there",
            )
        files[key] = day
    if not files:
        raise PlatformError(
            platform.name,
            table.name,
            "the source has no file of this table",
            received=f"nothing under {folder.uri(path)}",
            remedy=f"correct the path in _{platform.name}__sources.yml, or restore the files",
        )
    return files


def _json_lines(
    connection: duckdb.DuckDBPyConnection, folder: Lake, table: SourceTable, files: dict[str, date | None]
) -> Relation:
    schema = pa.schema({"number": pa.int64(), "line": pa.string(), "file_date": pa.timestamp("us")})
    incoming = pa.RecordBatchReader.from_batches(schema, _lines(folder, files, schema))
    connection.register("incoming", incoming)
    connection.execute(
        "create temp table lines as select line, file_date,"
        " case when json_valid(line) then json_type(line) = 'OBJECT' else false end as readable"
        " from incoming order by number"
    )
    connection.unregister("incoming")
    keys = [
        key
        for (key,) in connection.execute(
            "select distinct unnest(json_keys(line)) as key from lines where readable order by key"
        ).fetchall()
    ]
    names = [column.name for column in table.columns if column.identifier != "drop"]
    paths = ", ".join(literal(f'$."{name}"') for name in names)
    fields = ", ".join(f"fields[{place}] as {identifier(name)}" for place, name in enumerate(names, 1))
    query = (
        f"select {fields}, file_date as _file_date, case when not readable then line end as _unreadable"
        f" from (select *, case when readable then json_extract_string(line, [{paths}]) end as fields from lines)"
    )
    return Relation(query, dict.fromkeys(keys or names, "VARCHAR"), as_text=True, in_order=True)


def _lines(folder: Lake, files: dict[str, date | None], schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    """Lines that are not blank; bytes that are no UTF-8 become backslash escapes, which are no JSON."""
    number = 0
    for key, day in files.items():
        file_date = datetime(day.year, day.month, day.day) if day else None
        with folder.open(key) as stream:
            rest = b""
            while chunk := stream.read(CHUNK):
                *whole, rest = (rest + chunk).split(b"\n")
                texts = _texts(whole)
                yield _batch(texts, number, file_date, schema)
                number += len(texts)
        texts = _texts([rest])
        yield _batch(texts, number, file_date, schema)
        number += len(texts)


def _texts(lines: list[bytes]) -> list[str]:
    texts = (line.decode("utf-8", errors="backslashreplace").strip("\ufeff \t\r") for line in lines)
    return [text for text in texts if text]


def _batch(texts: list[str], number: int, file_date: datetime | None, schema: pa.Schema) -> pa.RecordBatch:
    columns = [pa.array(range(number, number + len(texts)), pa.int64()), pa.array(texts, pa.string())]
    return pa.RecordBatch.from_arrays([*columns, pa.array([file_date] * len(texts), pa.timestamp("us"))], schema=schema)


def _csv(
    connection: duckdb.DuckDBPyConnection, folder: Lake, table: SourceTable, files: dict[str, date | None]
) -> Relation:
    """RFC 4180 with a header; files may differ in their columns. Records that do not fit their header are marked."""
    headers = {key: header for key in files if (header := _csv_header(folder, key))}
    names = [*dict.fromkeys(name for header in headers.values() for name in header)]
    wanted = [column.name for column in table.columns if column.identifier != "drop"]
    declared = "".join(f"{identifier(name)} varchar, " for name in wanted)
    connection.execute(f"create temp table records ({declared}_file_date timestamp, _unreadable varchar)")
    for header, keys in groupby(headers, key=lambda key: headers[key]):
        present = [name for name in wanted if name in header]
        selected = "".join(f"{identifier(name)}, " for name in present)
        connection.execute(
            f"insert into records by name select {selected}{_date_of('_file', table)} as _file_date"
            f" from read_csv({_list(folder, keys)}, columns = {{{_struct(header)}}}, auto_detect = false,"
            " header = true, delim = ',', quote = '\"', escape = '\"', filename = '_file', ignore_errors = true,"
            " store_rejects = true, rejects_limit = 0, max_line_size = 16777216)"
        )
    if headers:
        connection.execute(
            "insert into records by name"
            " select any_value(trim(csv_line, chr(10) || chr(13))) as _unreadable,"
            f" any_value({_date_of('file_path', table)}) as _file_date"
            " from reject_errors join reject_scans using (scan_id, file_id)"
            " group by scan_id, file_id, line order by scan_id, file_id, line"
        )
    return Relation("from records", dict.fromkeys(names or wanted, "VARCHAR"), as_text=True, in_order=True)


def _csv_header(folder: Lake, key: str) -> tuple[str, ...]:
    with folder.open(key) as stream:
        start = stream.read(HEADER).decode("utf-8-sig", errors="replace")
    return tuple(next(csv.reader(io.StringIO(start)), ()))


def _parquet(connection: duckdb.DuckDBPyConnection, folder: Lake, table: SourceTable, keys: list[str]) -> Relation:
    source = f"read_parquet({_list(folder, keys)}, union_by_name = true, filename = '_file')"
    described = connection.execute(f"describe select * exclude (_file) from {source}").fetchall()
    query = f"select *, {_date_of('_file', table)} as _file_date, null::varchar as _unreadable from {source}"
    return Relation(query, {name: kind for name, kind, *_ in described}, as_text=False, in_order=True)


def _date_of(file: str, table: SourceTable) -> str:
    """SQL of the {date} in a column of file names."""
    _, dated, after = (table.path or "").partition("{date}")
    if not dated:
        return "null::timestamp"
    pattern = r"([0-9]{4}-[0-9]{2}-[0-9]{2})" + re.escape(after) + "$"
    return f"regexp_extract({file}, {literal(pattern)}, 1)::timestamp"


def _list(folder: Lake, keys: Iterable[str]) -> str:
    return "[" + ", ".join(literal(folder.uri(key)) for key in keys) + "]"


def _struct(header: tuple[str, ...]) -> str:
    return ", ".join(f"{literal(name)}: 'VARCHAR'" for name in header)
