"""Extract: what is new in a platform's table, from its own warehouse to the lake.

What is new is what was not seen before, not what lies after a point in time. A night reads again what lies within ``overlap_days``
before the end of the last load, and leaves out the rows that an earlier load brought as they are now. So a row that comes late, or
with an old date, is found. It counts as known from the end of the last load on, since nobody knew it before.
"""

import hashlib
import json
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from importlib.metadata import version
from pathlib import Path

import duckdb

from infra.duckdb_connection import duckdb_connection
from infra.lake import Lake
from infra.platforms.databases import SourceCount, Window, open_table
from infra.platforms.declaration import Platform, SourceTable
from infra.platforms.errors import PlatformError, guarded
from infra.platforms.file_records import file_relation, naming_file
from infra.platforms.files import (
    Incoming,
    any_file,
    incoming_files,
)
from infra.platforms.gone import ZONE as GONE
from infra.platforms.load_files import Part, publish_load, work_folder, write_gone, write_parts
from infra.platforms.manifest import (
    Counts,
    Manifest,
    SourceColumn,
    SourceFile,
    manifests,
    reached,
)
from infra.platforms.new_rows import NewRows, has_key, is_state
from infra.platforms.relation import Relation
from infra.platforms.times import SAMPLE, require_times
from infra.settings import Settings

ADDED = ("_unreadable", "_file", "_row_hash")  # columns of the raw zone that are ours, besides _row and _known_at
DAY = timedelta(days=1)


def extract_table(platform: Platform, table: SourceTable, as_of: date, lake: Lake, settings: Settings) -> Manifest:
    """Bring the rows that became visible before ``as_of`` 00:00 UTC, and that no earlier load brought, to the lake.

    The same night again writes the same bytes.

    Raises:
        PlatformError: The source could not be read, or the disk is full. Nothing of the night is visible then.
    """
    with work_folder(settings, f"{platform.name}.{table.name}.{as_of}") as work:
        earlier = [load for load in manifests(lake, platform.name, table.name) if load.as_of < as_of]
        task = _Extraction(platform, table, as_of, earlier, lake, work, settings)
        staged = guarded(platform, table.name, task.stage)
        manifest = Manifest(
            platform=platform.name,
            table=table.name,
            as_of=as_of,
            rows=staged.counts.landed,
            watermark_from=task.since and task.since.replace(tzinfo=UTC),
            watermark_to=task.until.replace(tzinfo=UTC) if table.has_watermark else None,
            newest_known_at=staged.newest_known_at,
            rows_before_overlap=staged.rows_before_overlap,
            counts=staged.counts,
            source_files=staged.source_files,
            columns=[SourceColumn(name=column.lands_as, type=staged.types[column.name]) for column in table.landed],
            schema_fingerprint=_fingerprint(staged.types, staged.undeclared),
            undeclared_columns=staged.undeclared,
            files=[],
            extracted_with=f"crossrec {version('crossrec')}, duckdb {duckdb.__version__}",
        )
        if table.vaulted:
            columns = [SourceColumn(name=name, type=staged.types[name]) for name in table.kept_in_vault]
            publish_load(lake, platform, "vault", manifest.model_copy(update={"columns": columns}), staged.vault)
        if staged.gone is not None:
            only_keys = {"rows": staged.counts.gone, "columns": []}
            publish_load(lake, platform, GONE, manifest.model_copy(update=only_keys), staged.gone)
        return publish_load(lake, platform, "raw", manifest, staged.raw)


@dataclass(frozen=True)
class _Staged:
    """A load as Parquet files in the work folder."""

    counts: Counts
    newest_known_at: datetime | None
    rows_before_overlap: int | None
    source_files: list[SourceFile]
    types: dict[str, str]
    undeclared: int
    raw: list[Part]
    vault: list[Part]
    gone: list[Part] | None  # None for a table that is not compared whole


@dataclass(frozen=True)
class _Extraction:
    """One night's look at one table. Instants are naive UTC."""

    platform: Platform
    table: SourceTable
    as_of: date
    earlier: list[Manifest]  # good loads before this night, oldest first
    lake: Lake
    work: Path
    settings: Settings

    @property
    def until(self) -> datetime:
        return datetime.combine(self.as_of, time())

    @property
    def since(self) -> datetime | None:
        """Up to where the earlier loads have brought everything."""
        ended = reached(self.earlier)
        return ended.replace(tzinfo=None) if ended and self.table.has_watermark else None

    @property
    def overlap(self) -> timedelta:
        return timedelta(days=self.table.overlap_days)

    def stage(self) -> _Staged:
        """Write the rows that are new to the work folder."""
        with closing(duckdb_connection(self.settings, self.lake, temp_directory=self.work / "spill")) as connection:
            if self.table.path is None:
                relation, source_files, counts, before_overlap = self._read_database(connection)
            else:
                relation, source_files, counts, before_overlap = self._read_files(connection)
            names = [column.lands_as for column in self.table.landed]
            [(newest,)] = connection.execute("select max(_known_at) from staged").fetchall()
            return _Staged(
                counts,
                newest and newest.replace(tzinfo=UTC),
                before_overlap,
                source_files,
                relation.types,
                relation.undeclared,
                write_parts(connection, [*names, *ADDED], counts.landed, self.work / "raw"),
                write_parts(connection, self.table.kept_in_vault, counts.landed, self.work / "vault")
                if self.table.vaulted
                else [],
                write_gone(connection, self.work / "gone") if is_state(self.table) else None,
            )

    def _read_database(
        self, connection: duckdb.DuckDBPyConnection
    ) -> tuple[Relation, list[SourceFile], Counts, int | None]:
        found = open_table(connection, self.platform, self.table, self.settings)
        if self.table.watermark:
            kind = found.types[self.table.watermark]
            require_times(connection, self.platform, self.table, found.watermarks(SAMPLE), kind)
        next_begins, begins = self.until - self.overlap, self.since and self.since - self.overlap
        counted = found.count(self._window(begins), next_begins)
        if begins and found.bounded_by_source and self._older_came(counted.before):
            begins = None
            counted = found.count(self._window(begins), next_begins)
        new, relation = (
            NewRows(connection, self.platform, self.table, self.settings),
            found.relation(self._window(begins)),
        )
        new.arrive(relation)
        self._require_all(connection, counted, found.count(self._window(begins), next_begins))
        connection.execute("commit")  # nothing more is read; rows of an open transaction have no row numbers
        if self.table.has_watermark and not found.bounded_by_source:
            counted = self._count_older(connection, counted, begins, next_begins)
            if begins and self._older_came(counted.before):
                begins = None
            elif begins:
                connection.execute("delete from arrived where _watermark < $begins", {"begins": begins})
            counted = counted._replace(before=counted.before if begins else 0)
        counts = new.stage(self._loads_since(begins), self.lake, self.since, self.until).model_copy(
            update={"in_source": counted.in_source, "before_window": counted.before, "after_window": counted.after}
        )
        return relation, [], counts, counted.before_next if self.table.has_watermark else None

    def _window(self, begins: datetime | None) -> Window:
        """Up to two days after the night, which covers every offset of a zone and the end of a local day."""
        return Window(begins, self.until + 2 * DAY)

    def _older_came(self, rows: int) -> bool:
        """Whether rows came that are older than the overlap. Then everything is read and compared."""
        expected = self.earlier[-1].rows_before_overlap
        return expected is None or rows > expected

    def _count_older(
        self,
        connection: duckdb.DuckDBPyConnection,
        counted: SourceCount,
        begins: datetime | None,
        next_begins: datetime,
    ) -> SourceCount:
        """What the database cannot count: rows by a watermark that is text or a number."""
        [(before, before_next)] = connection.execute(
            "select count(*) filter (where _watermark < $begins), count(*) filter (where _watermark < $next_begins) from arrived",
            {"begins": begins, "next_begins": next_begins},
        ).fetchall()
        return counted._replace(before=before, before_next=before_next)

    def _require_all(self, connection: duckdb.DuckDBPyConnection, earlier: SourceCount, later: SourceCount) -> None:
        """What was read is as many rows as the database counts, with its first and its last key, before or after the reading.

        A key is looked up and not compared by size, because databases put texts in orders of their own.
        """
        [(read,)] = connection.execute("select count(*) from arrived").fetchall()
        there = sorted(count.in_source - count.before - count.after for count in (earlier, later))
        if not there[0] <= read <= there[1]:
            raise self._other_rows(
                "other rows were read than the database counts", f"{read:,} rows, where it counts {there[0]:,}"
            )
        if earlier.ends and later.ends:
            for end, keys in zip(("first", "last"), zip(earlier.ends, later.ends, strict=True), strict=True):
                if not any(has_key(connection, key) for key in keys):
                    raise self._other_rows(
                        "other keys were read than the database has",
                        f"{read:,} rows without the {end} {', '.join(self.table.key)} of the table",
                    )

    def _other_rows(self, problem: str, received: str) -> PlatformError:
        return PlatformError(
            self.platform.name,
            self.table.name,
            problem,
            received=received,
            remedy="run the night again; if it stays so, read the table with the database's own client",
            retryable=True,
        )

    def _loads_since(self, begins: datetime | None) -> list[Manifest]:
        """The earlier loads that may hold rows of the window; all of them without one."""
        if begins is None or not self.table.has_watermark:
            return self.earlier
        return [
            load
            for load in self.earlier
            if load.counts.no_watermark
            or (load.newest_known_at and load.newest_known_at.replace(tzinfo=None) >= begins - DAY)
        ]

    def _read_files(
        self, connection: duckdb.DuckDBPyConnection
    ) -> tuple[Relation, list[SourceFile], Counts, int | None]:
        seen = {file.name: file for load in self.earlier for file in load.source_files}
        files = incoming_files(self.platform, self.table, seen, self.until, self.work, self.settings)
        changed = [
            file for file in files if not file.before or file.before.sha256 != file.found.sha256 or file.before.waiting
        ]
        relation, counted = file_relation(connection, self.platform, self.table, changed, self._any_file(changed))
        new = NewRows(connection, self.platform, self.table, self.settings)
        with naming_file(connection, self.platform, self.table, changed):
            new.arrive(relation)
        if self.table.watermark and changed:
            require_times(connection, self.platform, self.table, relation.query, relation.types[self.table.watermark])
        again = {file.name for file in changed if file.before}
        loads = [load for load in self.earlier if again & {file.name for file in load.source_files}]
        counts = new.stage(
            self.earlier if is_state(self.table) else loads, self.lake, self.since, self.until, was_read=bool(changed)
        )
        counts = counts.model_copy(update={"in_source": sum(file.records for file in counted)})
        waiting = dict(
            connection.execute(
                "select _file, count(*) from arrived where _watermark >= $until group by all", {"until": self.until}
            ).fetchall()
        )
        counted = [
            file.model_copy(
                update={
                    "waiting": waiting.get(file.name, 0),
                    "records_before": seen[file.name].records if file.name in seen else None,
                }
            )
            for file in counted
        ]
        touched = [  # written anew, with the same content
            file.before.model_copy(update={"modified": file.found.modified})
            for file in files
            if file not in changed and file.before
        ]
        return relation, sorted([*counted, *touched], key=lambda file: file.name), counts, None

    def _any_file(self, changed: Sequence[Incoming]) -> Path | None:
        """A file that tells the types of a Parquet table in a night that reads none."""
        if changed or self.table.file_format != "parquet":
            return None
        return any_file(self.platform, self.table, self.work, self.settings)


def _fingerprint(types: dict[str, str], undeclared: int) -> str:
    return hashlib.sha256(json.dumps([*sorted(types.items()), undeclared]).encode()).hexdigest()
