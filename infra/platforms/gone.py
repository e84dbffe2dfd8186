"""Keys that are gone: what a table of present states had at an earlier load, and has no more.

Each load of such a table leaves them in a zone of their own, `gone/platform=.../table=.../load_date=.../`. So they are counted
once, go aside with a load that is held, and a key that comes back is there again.
"""

from collections.abc import Iterable
from contextlib import closing

import pyarrow as pa

from infra.duckdb_connection import duckdb_connection
from infra.lake import Lake
from infra.platforms.manifest import Manifest
from infra.settings import Settings

ZONE = "gone"
SCHEMA = pa.schema(
    [("platform", pa.string()), ("table", pa.string()), ("load_date", pa.date32()), ("key", pa.list_(pa.string()))]
)


def gone_files(lake: Lake, loads: Iterable[Manifest]) -> list[str]:
    """Addresses of the files that say which keys were gone at these loads."""
    folders = [f"{ZONE}/platform={load.platform}/table={load.table}/load_date={load.as_of}/" for load in loads]
    tables = {folder.partition("load_date=")[0] for folder in folders}
    there = [key for table in sorted(tables) for key in lake.list(table)]
    return [lake.uri(key) for key in there if key.endswith(".parquet") and key.startswith(tuple(folders))]


def gone_keys(lake: Lake, loads: Iterable[Manifest], settings: Settings) -> pa.Table:
    """Every key that was gone at one of the ``loads``, with the columns of `SCHEMA`: the key's values as text."""
    files = gone_files(lake, loads)
    if not files:
        return SCHEMA.empty_table()
    with closing(duckdb_connection(settings, lake)) as connection:
        found: pa.Table = connection.execute(
            'select platform, "table", cast(load_date as date) as load_date, key'
            " from read_parquet($files, hive_partitioning = true, hive_types_autocast = false) order by all",
            {"files": files},
        ).to_arrow_table()
    return found.cast(SCHEMA)
