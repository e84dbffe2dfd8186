"""Look: what a platform has, without bringing any of it to the lake."""

from contextlib import closing
from datetime import date, datetime
from functools import partial

from infra.duckdb_connection import duckdb_connection
from infra.platforms.databases import open_table
from infra.platforms.declaration import Platform, SourceTable
from infra.platforms.errors import guarded
from infra.platforms.file_records import file_relation, inspect_files
from infra.platforms.files import incoming_files, list_files, open_folder, period_ends
from infra.platforms.load_files import work_folder
from infra.platforms.times import SAMPLE, require_times, watermark_at
from infra.settings import Settings


def check_connection(platform: Platform, settings: Settings) -> list[str]:
    """See that every declared table can be reached, has its columns, and has a watermark that is a time. Nothing is kept.

    Returns what a person should see of each table of files: how many files there are, and how the newest one is written.

    Raises:
        PlatformError: Of the first table that cannot.
    """
    return [
        line
        for table in platform.tables
        for line in guarded(platform, table.name, partial(_look, platform, table, settings))
    ]


def _look(platform: Platform, table: SourceTable, settings: Settings) -> list[str]:
    if table.path is not None:
        return [inspect_files(platform, table, settings)]
    with closing(duckdb_connection(settings)) as connection:
        found = open_table(connection, platform, table, settings)
        if table.watermark:
            require_times(connection, platform, table, found.watermarks(SAMPLE), found.types[table.watermark])
    return []


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
        periods = list_files(open_folder(platform, settings), platform, table).values()
        return [ends.date() for period in periods if (ends := period_ends(platform, period))]
    with (
        work_folder(settings, f"{platform.name}.{table.name}.days") as work,
        closing(duckdb_connection(settings)) as connection,
    ):
        if table.path is None:
            rows = open_table(connection, platform, table, settings).watermarks()
        else:
            files = incoming_files(platform, table, {}, datetime.max, work, settings)
            rows = file_relation(connection, platform, table, files, None)[0].query
        bounds = connection.execute(
            f"select min(k)::date, max(k)::date from (select {watermark_at(platform, table)} as k from ({rows}))"
        ).fetchall()[0]
        return [day for day in bounds if day]
