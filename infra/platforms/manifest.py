"""What one load of one table brought, and what was counted on the way."""

from collections.abc import Iterable, Iterator
from datetime import date, datetime

from pydantic import BaseModel, ConfigDict

from infra.lake import Lake
from infra.state import damage_named

MANIFEST = "_manifest.json"


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class SourceColumn(_Record):
    name: str
    type: str


class LoadedFile(_Record):
    key: str
    rows: int
    sha256: str


class SourceFile(_Record):
    """A file of a platform as a night read it."""

    name: str
    bytes: int
    modified: str
    """Changes whenever the file is written."""
    sha256: str
    lines: int = 0
    """Lines that are not blank; rows of a Parquet file. Counted by other code than reads them."""
    records: int = 0
    """Records that were read, unreadable ones included."""
    unreadable: int = 0
    waiting: int = 0
    """Records that a later night takes: their watermark is not before this night."""
    records_before: int | None = None
    """Records when the file was read before; None for a new one."""


class Counts(_Record):
    """The rows of a load: ``read = landed + known + waiting``, and ``in_source = before_window + read + after_window``.

    in_source       rows of the table by the database's own count; records of the files that were read, counted by other code
    before_window   of those, rows whose watermark is before the days that are read again
    after_window    rows whose watermark is days after the night
    read            rows that were read
    landed          rows that are in the load: new ones and new versions
    known           rows that an earlier load brought as they are now
    waiting         rows whose watermark is not before the night
    late            landed rows whose watermark is before the last load's end
    no_watermark    landed rows whose watermark is missing or no time; they are known from when they were first seen
    gone            keys that an earlier load had, and the source has no more since this one; for tables that are compared whole
    """

    in_source: int = 0
    before_window: int = 0
    after_window: int = 0
    read: int = 0
    landed: int = 0
    known: int = 0
    waiting: int = 0
    late: int = 0
    no_watermark: int = 0
    gone: int = 0

    @property
    def uncounted(self) -> int:
        """Rows that are in no count, or in two; 0 where all is well."""
        unread = self.in_source - self.before_window - self.after_window - self.read
        return abs(unread) + abs(self.read - self.landed - self.known - self.waiting)


class Manifest(_Record):
    """What one load of one table brought; written last, so that a load without it is no load."""

    platform: str
    table: str
    as_of: date
    rows: int
    watermark_from: datetime | None
    """Rows from here on, and late ones, ..."""
    watermark_to: datetime | None
    """... and before here, by watermark; both None for a table that is loaded whole."""
    newest_known_at: datetime | None
    """The newest watermark among the rows."""
    rows_before_overlap: int | None = None
    """Rows of the source that the next night does not read again; more of them then are rows that came late."""
    counts: Counts
    source_files: list[SourceFile]
    columns: list[SourceColumn]
    schema_fingerprint: str
    undeclared_columns: int
    files: list[LoadedFile]
    extracted_with: str


def reached(loads: Iterable[Manifest]) -> datetime | None:
    """Up to where the ``loads``, oldest first, have brought everything without a gap; None where there is none.

    A load that is held leaves a gap where a later one was there already, as in a backfill. Everything from the gap on is read
    again.
    """
    end = None
    for load in loads:
        if load.watermark_from and (end is None or load.watermark_from > end):
            break
        end = max(filter(None, (end, load.watermark_to)), default=None)
    return end


def manifests(lake: Lake, platform: str, table: str) -> Iterator[Manifest]:
    """Every load of a table, oldest first.

    Raises:
        StateError: A manifest is damaged.
    """
    for key in lake.list(f"raw/platform={platform}/table={table}/"):
        if key.endswith(f"/{MANIFEST}"):
            yield read_manifest(lake, key)


def read_manifest(lake: Lake, key: str) -> Manifest:
    """The manifest under this key.

    Raises:
        StateError: It is damaged.
    """
    night = key.split("load_date=")[1].split("/")[0]
    again = f"restore it from a backup, or delete it and run the night of {night} again, which writes its load anew"
    with damage_named(lake.uri(key), again):
        return Manifest.model_validate_json(lake.read(key)[0])
