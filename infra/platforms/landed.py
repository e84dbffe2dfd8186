"""What the files of a load hold, seen without the code that wrote them."""

import hashlib
from contextlib import closing

from infra.duckdb_connection import duckdb_connection
from infra.lake import Lake
from infra.platforms.manifest import Manifest
from infra.settings import Settings


def rows_in_files(lake: Lake, load: Manifest, settings: Settings) -> int | None:
    """Rows by the footers of the load's Parquet files; None where a file is gone. No row is read."""
    files = [lake.uri(file.key) for file in load.files]
    there = {*lake.list(f"raw/platform={load.platform}/table={load.table}/load_date={load.as_of}/")}
    if not {file.key for file in load.files} <= there:
        return None
    with closing(duckdb_connection(settings, lake)) as connection:
        ((rows,),) = connection.execute(
            "select coalesce(sum(num_rows), 0)::bigint from parquet_file_metadata($files)", {"files": files}
        ).fetchall()
    return int(rows)


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
