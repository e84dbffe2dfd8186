"""Read back: how many rows of lists a platform has now, counted where its own applications read them."""

from contextlib import closing

from infra.duckdb_connection import duckdb_connection
from infra.platforms.databases import attach
from infra.platforms.declaration import FILE_SCHEMES, Platform, WriteBack
from infra.platforms.errors import guarded
from infra.platforms.files import open_folder
from infra.platforms.relation import identifier
from infra.settings import Settings


def rows_there(platform: Platform, settings: Settings) -> int:
    """Rows in the platform's table of lists, or lines in its `current.jsonl`, by a connection of its own.

    Raises:
        PlatformError: They cannot be read.
        ValueError: The platform asks for no lists.
    """
    target = platform.write_back
    if target is None:
        raise ValueError(f"platform '{platform.name}' asks for no lists. Received: no write_back.")
    if platform.address(settings).scheme in FILE_SCHEMES:
        return guarded(platform, None, lambda: _lines(platform, target, settings))
    return guarded(platform, target.table, lambda: _rows(platform, target, settings))


def _lines(platform: Platform, target: WriteBack, settings: Settings) -> int:
    content, _ = open_folder(platform, settings).read(f"{target.folder}/current.jsonl")
    return content.count(b"\n")


def _rows(platform: Platform, target: WriteBack, settings: Settings) -> int:
    with closing(duckdb_connection(settings)) as connection:
        schema = attach(connection, platform, settings, read_only=True)
        ((rows,),) = connection.execute(f"select count(*) from {schema}.{identifier(target.table)}").fetchall()
    return int(rows)
