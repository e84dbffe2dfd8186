"""A load as files: written in a work folder, where nobody sees them, and then put into the lake, the manifest last."""

import hashlib
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import duckdb

from infra.lake import DISK_FULL, Lake
from infra.platforms.declaration import Platform
from infra.platforms.errors import as_platform_error
from infra.platforms.manifest import MANIFEST, LoadedFile, Manifest
from infra.platforms.relation import identifier, literal
from infra.settings import Settings

ROWS_PER_PART = 5_000_000


class Part(NamedTuple):
    path: Path
    rows: int


@contextmanager
def work_folder(settings: Settings, name: str) -> Iterator[Path]:
    """A folder for what is not visible yet; a killed run's leftovers go with the next run of the same load."""
    folder = settings.home.resolve() / "work" / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def write_parts(connection: duckdb.DuckDBPyConnection, names: Sequence[str], rows: int, folder: Path) -> list[Part]:
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
        parts.append(Part(path, end - start))
    return parts


def write_gone(connection: duckdb.DuckDBPyConnection, folder: Path) -> list[Part]:
    """The keys that are gone; no file where there are none."""
    folder.mkdir()
    path = folder / "part-00000.parquet"
    [(rows,)] = connection.execute("select count(*) from gone").fetchall()
    if not rows:
        return []
    connection.execute(f"copy gone to {literal(str(path))} (format parquet, compression zstd)")
    return [Part(path, rows)]


def publish_load(lake: Lake, platform: Platform, zone: str, manifest: Manifest, parts: list[Part]) -> Manifest:
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
