"""Platforms that are folders of files, on disk or on S3. What cannot be read there is kept, and counted."""

import hashlib
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from infra.lake import Lake, LocalLake, open_lake
from infra.platforms.declaration import Period, Platform, SourceTable
from infra.platforms.errors import PlatformError
from infra.platforms.manifest import SourceFile
from infra.platforms.times import MICROSECOND, day_begins, day_ends
from infra.settings import Settings


@dataclass(frozen=True)
class Incoming:
    """A file that a night reads: where its copy lies, when its rows were visible (None: its name does not say), and
    what was seen of it before.
    """

    name: str
    path: Path
    visible_at: datetime | None
    found: SourceFile
    before: SourceFile | None


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


def list_files(folder: Lake, platform: Platform, table: SourceTable) -> dict[str, Period]:
    """Every file of the table with the period that its name tells, by name."""
    files: dict[str, Period] = {}
    for key in folder.list(table.path_prefix):
        try:
            period = table.period_of(key)
        except ValueError:
            raise PlatformError(
                platform.name,
                table.name,
                "a file's name holds no calendar date",
                received=key,
                remedy="rename the file, or move it out of the folder",
            ) from None
        if period is None:
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
        files[key] = period
    if not files:
        raise PlatformError(
            platform.name,
            table.name,
            "the source has no file of this table",
            received=f"nothing under {folder.uri(table.path or '')}",
            remedy=f"correct the path in _{platform.name}__sources.yml, or restore the files",
        )
    return files


def incoming_files(
    platform: Platform,
    table: SourceTable,
    seen: Mapping[str, SourceFile],
    until: datetime,
    work: Path,
    settings: Settings,
) -> list[Incoming]:
    """The files that are complete before ``until`` and were not seen as they are now, by name.

    A file that was read before and has another content, or rows that were to wait for a later night, comes again.
    """
    folder = open_folder(platform, settings)
    files = []
    for name, period in list_files(folder, platform, table).items():
        visible_at = _visible_at(platform, table, period, until)
        if visible_at is not None and visible_at >= until:
            continue
        size, modified = folder.stamp(name)
        before = seen.get(name)
        if before and (before.bytes, before.modified) == (size, modified) and not before.waiting:
            continue
        path = local_copy(folder, name, work)
        found = SourceFile(name=name, bytes=path.stat().st_size, modified=modified, sha256=_digest(path))
        if found.bytes != size:
            raise changing(platform, table, name)
        files.append(Incoming(name, path, visible_at, found, before))
    return files


def _visible_at(platform: Platform, table: SourceTable, period: Period, until: datetime) -> datetime | None:
    """A day's file is complete when the day ends there; a month's file grows, so it is read from its first day on."""
    if period.first is None or period.last is None or table.watermark:
        return None
    if period.first == period.last:
        return day_ends(period.last, platform.timezone)
    begins, ends = day_begins(period.first, platform.timezone), day_ends(period.last, platform.timezone)
    return ends if begins >= until else min(ends, until - MICROSECOND)


def period_ends(platform: Platform, period: Period) -> datetime | None:
    """When the last day of a file ends on the platform, as naive UTC; None where its name does not say."""
    return day_ends(period.last, platform.timezone) if period.last else None


def any_file(platform: Platform, table: SourceTable, work: Path, settings: Settings) -> Path:
    """The newest file by name, on this machine."""
    folder = open_folder(platform, settings)
    return local_copy(folder, [*list_files(folder, platform, table)][-1], work)


def local_copy(folder: Lake, name: str, work: Path) -> Path:
    """The file on this machine, where it may be read twice."""
    if isinstance(folder, LocalLake):
        return Path(folder.uri(name))
    copy = work / "incoming" / hashlib.sha256(name.encode()).hexdigest()
    copy.parent.mkdir(exist_ok=True)
    with folder.open(name) as source, copy.open("wb") as target:
        shutil.copyfileobj(source, target, 1 << 20)
    return copy


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def changing(platform: Platform, table: SourceTable, name: str) -> PlatformError:
    return PlatformError(
        platform.name,
        table.name,
        f"the file {name} changes while it is read",
        received="another size or other records than a moment before",
        remedy="let its writer finish: write files under another name and rename them when they are whole",
        retryable=True,
    )
