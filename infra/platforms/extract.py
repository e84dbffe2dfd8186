"""Extract: what is new in a platform's table, from its own warehouse to the lake."""

import hashlib
import json
import shutil
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

import duckdb
from pydantic import BaseModel, ConfigDict, ValidationError

from infra.duckdb_connection import duckdb_connection
from infra.lake import DISK_FULL, Lake
from infra.platforms.databases import database_relation
from infra.platforms.declaration import Column, Platform, SourceTable
from infra.platforms.errors import PlatformError, as_platform_error, guarded
from infra.platforms.files import file_relation, list_files, open_folder
from infra.platforms.relation import Relation, identifier, literal
from infra.platforms.tokens import key_blocks, token
from infra.settings import Settings
from infra.state import StateError

ROWS_PER_PART = 5_000_000
MANIFEST = "_manifest.json"
# a time in a text that carries its own zone: '...T10:00:00Z', '... 10:00:00.5 +02:00'
ZONED = r":[0-9]{2}([.,][0-9]+)?\s*([zZ]|[+-][0-9]{2}(:?[0-9]{2})?)\s*$"


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class SourceColumn(_Record):
    name: str
    type: str


class LoadedFile(_Record):
    key: str
    rows: int
    sha256: str


class Manifest(_Record):
    """What one load of one table brought; written last, so that a load without it is no load."""

    platform: str
    table: str
    as_of: date
    rows: int
    watermark_from: datetime | None
    """Rows from here on ..."""
    watermark_to: datetime | None
    """... and before here, by watermark; both None for a table that is loaded whole."""
    newest_known_at: datetime | None
    """The newest watermark among the rows."""
    columns: list[SourceColumn]
    schema_fingerprint: str
    undeclared_columns: list[str]
    files: list[LoadedFile]
    extracted_with: str


def extract_table(platform: Platform, table: SourceTable, as_of: date, lake: Lake, settings: Settings) -> Manifest:
    """Bring the rows that became visible since the last load and before ``as_of`` 00:00 UTC to the lake.

    The same night again writes the same bytes. Rows without a watermark come with every load.

    Raises:
        PlatformError: The source could not be read, or the disk is full. Nothing of the night is visible then.
    """
    until = datetime.combine(as_of, time(), UTC)
    since = _last_watermark(lake, platform, table, as_of) if table.has_watermark else None
    with _work_folder(settings, f"{platform.name}.{table.name}.{as_of}") as work:
        staged = guarded(platform, table.name, lambda: _stage(platform, table, since, until, work, settings))
        manifest = Manifest(
            platform=platform.name,
            table=table.name,
            as_of=as_of,
            rows=staged.rows,
            watermark_from=since,
            watermark_to=until if table.has_watermark else None,
            newest_known_at=staged.newest_known_at,
            columns=[SourceColumn(name=column.name, type=staged.types[column.name]) for column in table.landed],
            schema_fingerprint=_fingerprint(staged.types),
            undeclared_columns=sorted({*staged.types} - {column.name for column in table.columns}),
            files=[],
            extracted_with=f"crossrec {version('crossrec')}, duckdb {duckdb.__version__}",
        )
        if table.vaulted:
            kept = [column for column in table.columns if column.identifier == "vault" or column.name in table.key]
            columns = [SourceColumn(name=column.name, type=staged.types[column.name]) for column in kept]
            _publish(lake, platform, "vault", manifest.model_copy(update={"columns": columns}), staged.vault)
        return _publish(lake, platform, "raw", manifest, staged.raw)


def check_connection(platform: Platform, settings: Settings) -> None:
    """See that every declared table can be reached and has its columns, without reading a row.

    Raises:
        PlatformError: Of the first table that cannot.
    """
    for table in platform.tables:
        guarded(platform, table.name, partial(_look, platform, table, settings))


def _look(platform: Platform, table: SourceTable, settings: Settings) -> None:
    if table.path is not None:
        list_files(open_folder(platform, settings), platform, table)
        return
    with closing(duckdb_connection(settings)) as connection:
        _require_columns(platform, table, database_relation(connection, platform, table, settings))


def known_between(platform: Platform, settings: Settings) -> tuple[date, date] | None:
    """The first and the last day (UTC) on which events of the platform became visible; None if it has no events.

    Raises:
        PlatformError: An event table could not be read.
    """
    days: list[date] = []
    for table in platform.tables:
        if table.contract == "events" and table.has_watermark:
            days += guarded(platform, table.name, partial(_days, platform, table, settings))
    return (min(days), max(days)) if days else None


def _days(platform: Platform, table: SourceTable, settings: Settings) -> list[date]:
    """The first and the last day of one table by its watermark, or nothing."""
    if table.watermark is None:
        return [day for day in list_files(open_folder(platform, settings), platform, table).values() if day]
    with closing(duckdb_connection(settings)) as connection:
        if table.path is None:
            relation = database_relation(connection, platform, table, settings)
        else:
            never, ever = datetime.max.replace(tzinfo=UTC), datetime.min.replace(tzinfo=UTC)
            relation = file_relation(connection, platform, table, ever, never, settings)
        _require_columns(platform, table, relation)
        known_at = _known_at(platform, table, relation)
        bounds = connection.execute(
            f"select min(k)::date, max(k)::date from (select {known_at} as k from ({relation.query}))",
            {"zone": platform.timezone} if "$zone" in known_at else {},
        ).fetchall()[0]
        return [day for day in bounds if day]


def manifests(lake: Lake, platform: str, table: str) -> Iterator[Manifest]:
    """Every load of a table, oldest first.

    Raises:
        StateError: A manifest is damaged.
    """
    for key in lake.list(f"raw/platform={platform}/table={table}/"):
        if key.endswith(f"/{MANIFEST}"):
            yield _manifest(lake, key)


def _manifest(lake: Lake, key: str) -> Manifest:
    try:
        return Manifest.model_validate_json(lake.read(key)[0])
    except ValidationError as error:
        path, first = lake.uri(key), error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        received = f"{place}: {first['msg']}" if place else first["msg"]
        load_date = key.split("load_date=")[1].split("/")[0]
        remedy = (
            f"restore it from a backup, or delete it and run the night of {load_date} again, which writes its load anew"
        )
        raise StateError(f"manifest {path} is damaged", path=path, received=received, remedy=remedy) from None


def damaged_files(lake: Lake, load: Manifest) -> list[str]:
    """Keys of the load's files that are gone or hold other bytes than it wrote."""
    damaged = []
    for file in load.files:
        try:
            if hashlib.sha256(lake.read(file.key)[0]).hexdigest() != file.sha256:
                damaged.append(file.key)
        except FileNotFoundError:
            damaged.append(file.key)
    return damaged


class _Part(NamedTuple):
    path: Path
    rows: int


@dataclass(frozen=True)
class _Staged:
    """A load as Parquet files in the work folder."""

    rows: int
    newest_known_at: datetime | None
    types: dict[str, str]
    raw: list[_Part]
    vault: list[_Part]


def _stage(
    platform: Platform, table: SourceTable, since: datetime | None, until: datetime, work: Path, settings: Settings
) -> _Staged:
    with closing(duckdb_connection(settings, temp_directory=work / "spill")) as connection:
        if table.path is None:
            relation = database_relation(connection, platform, table, settings)
        else:
            relation = file_relation(connection, platform, table, since, until, settings)
        _require_columns(platform, table, relation)
        _load(connection, platform, table, relation, since, until, settings)
        rows, newest = connection.execute("select count(*), max(_known_at) from staged").fetchall()[0]
        kept = [column for column in table.columns if column.identifier == "vault" or column.name in table.key]
        return _Staged(
            rows,
            newest and newest.replace(tzinfo=UTC),
            relation.types,
            _write_parts(
                connection, [column.lands_as for column in table.landed] + ["_unreadable"], rows, work / "raw"
            ),
            _write_parts(connection, [column.name for column in kept], rows, work / "vault") if table.vaulted else [],
        )


def _require_columns(platform: Platform, table: SourceTable, relation: Relation) -> None:
    missing = [c.name for c in table.columns if c.identifier != "drop" and c.name not in relation.types]
    if missing:
        raise PlatformError(
            platform.name,
            table.name,
            f"the source has no column {', '.join(repr(name) for name in missing)}",
            received=f"the columns {', '.join(relation.types)}",
            remedy=f"restore the column, or correct _{platform.name}__sources.yml",
        )


def _load(
    connection: duckdb.DuckDBPyConnection,
    platform: Platform,
    table: SourceTable,
    relation: Relation,
    since: datetime | None,
    until: datetime,
    settings: Settings,
) -> None:
    """Fill ``staged`` with the night's rows, tokens in the place of what they stand for, in an order that holds."""
    parameters: dict[str, object] = {}
    landed = [*table.landed, *table.vaulted]
    selected = ", ".join(f"{_value(column, platform)} as {identifier(column.lands_as)}" for column in landed)
    if any(column.identifier == "token" for column in landed):
        parameters |= key_blocks(settings.token_key)
    unreadable = "'sha256:' || sha256(_unreadable)" if table.has_identifiers else "_unreadable"
    known_at = _known_at(platform, table, relation)
    if "$zone" in known_at:
        parameters["zone"] = platform.timezone
    source, within = relation.query, ""
    bounds = {"until": until} | ({"since": since} if since else {})
    parameters |= {name: bound.replace(tzinfo=None) for name, bound in bounds.items()}
    if table.has_watermark:
        within = "where _known_at is null or (_known_at < $until" + (" and _known_at >= $since)" if since else ")")
        is_time = table.watermark and not relation.as_text and relation.types[table.watermark].startswith("TIMESTAMP")
        if table.watermark and is_time and not relation.in_order:
            source = _near(source, identifier(table.watermark), since is not None)
    names = [*table.key, "_known_at", *(column.lands_as for column in landed if column.name not in table.key)]
    order = "" if relation.in_order else f"order by {', '.join(identifier(name) for name in names)}"
    connection.execute(
        f"create temp table staged as select {selected}, _known_at, {unreadable} as _unreadable"
        f" from (select *, {known_at} as _known_at from ({source})) {within} {order}",
        parameters,
    )


def _near(query: str, column: str, since: bool) -> str:
    """SQL of the query's rows within a day of the load's range, in a form that DuckDB passes on to the database itself.

    A day covers every offset of a zone, so that the exact comparison in UTC decides about few rows instead of all.
    """
    after = f" and {column} >= $since::timestamp - interval 1 day" if since else ""
    return (
        f"select * from ({query}) where {column} is null union all"
        f" select * from ({query}) where {column} < $until::timestamp + interval 1 day{after}"
    )


def _value(column: Column, platform: Platform) -> str:
    if column.identifier != "token" or column.kind is None:
        return identifier(column.name)
    return token(identifier(column.name), column.kind, platform.phone_country)


def _known_at(platform: Platform, table: SourceTable, relation: Relation) -> str:
    """SQL of the watermark as naive UTC; times without a zone are the platform's local time."""
    if not table.has_watermark:  # all that can be said: it was there when the night looked
        return "$until::timestamp - interval 1 second"
    if table.watermark is None:
        return "_file_date"
    column, kind = identifier(table.watermark), relation.types[table.watermark]
    if relation.as_text or kind == "VARCHAR":
        zoned = f"regexp_matches({column}, {literal(ZONED)})"
        local = f"timezone($zone, try_cast({column} as timestamp))"
        return f"timezone('UTC', case when {zoned} then try_cast({column} as timestamptz) else {local} end)"
    if kind == "TIMESTAMP WITH TIME ZONE":
        return f"timezone('UTC', {column})"
    if kind == "DATE" or kind.startswith("TIMESTAMP"):
        return f"timezone('UTC', timezone($zone, {column}::timestamp))"
    raise PlatformError(
        platform.name,
        table.name,
        f"the watermark '{table.watermark}' is no time",
        received=f"a column of type {kind}",
        remedy="declare a timestamp or date as the watermark, or none to load the whole table every night",
    )


def _write_parts(connection: duckdb.DuckDBPyConnection, names: list[str], rows: int, folder: Path) -> list[_Part]:
    folder.mkdir()
    selected = ", ".join(identifier(name) for name in names)
    parts = []
    for number, start in enumerate(range(0, max(rows, 1), ROWS_PER_PART)):
        path, end = folder / f"part-{number:05}.parquet", min(start + ROWS_PER_PART, rows)
        connection.execute(
            f"copy (select {selected}, rowid + 1 as _row, _known_at from staged"
            f" where rowid >= $start and rowid < $end order by rowid) to {literal(str(path))}"
            " (format parquet, compression zstd)",
            {"start": start, "end": end},
        )
        parts.append(_Part(path, end - start))
    return parts


def _publish(lake: Lake, platform: Platform, zone: str, manifest: Manifest, parts: list[_Part]) -> Manifest:
    """Put the parts, then the manifest; remove parts that an earlier run of the night had and this one has not."""
    folder = f"{zone}/platform={manifest.platform}/table={manifest.table}/load_date={manifest.as_of}"
    files = []
    try:
        for path, rows in parts:
            with path.open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
            files.append(LoadedFile(key=f"{folder}/{path.name}", rows=rows, sha256=digest))
            lake.put(files[-1].key, path)
        manifest = manifest.model_copy(update={"files": files})
        lake.put(f"{folder}/{MANIFEST}", (manifest.model_dump_json(indent=2) + "\n").encode())
    except OSError as error:
        if error.errno not in DISK_FULL:
            raise
        raise as_platform_error(error, platform, manifest.table) from error
    current = {file.key for file in files} | {f"{folder}/{MANIFEST}"}
    for key in [*lake.list(f"{folder}/")]:
        if key not in current:
            lake.delete(key)
    return manifest


def _last_watermark(lake: Lake, platform: Platform, table: SourceTable, as_of: date) -> datetime | None:
    """Where the newest load before this night ended."""
    earlier = [manifest for manifest in manifests(lake, platform.name, table.name) if manifest.as_of < as_of]
    return earlier[-1].watermark_to if earlier else None


def _fingerprint(types: dict[str, str]) -> str:
    return hashlib.sha256(json.dumps(sorted(types.items())).encode()).hexdigest()


@contextmanager
def _work_folder(settings: Settings, name: str) -> Iterator[Path]:
    """A folder for what is not visible yet; a killed run's leftovers go with the next run of the same load."""
    folder = settings.home.resolve() / "work" / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
