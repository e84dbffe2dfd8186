"""Times of the sources as the staging models read them: the SQL comes from dbt's own macro, so there is one parser."""

from datetime import UTC, date, datetime, time, timedelta
from functools import cache
from typing import Any
from zoneinfo import ZoneInfo

import duckdb
from jinja2 import Environment, FileSystemLoader

from infra.platforms.declaration import Platform, SourceTable
from infra.platforms.errors import PlatformError
from infra.platforms.relation import identifier
from infra.warehouse import DBT_PROJECT

MICROSECOND = timedelta(microseconds=1)
SAMPLE = 1000  # values that tell whether a column holds times


def visible_at(column: str, timezone: str, date_order: str) -> str:
    """SQL of the instant, as naive UTC, at which a row with this watermark is visible; null where the text is no time.

    ``column`` is a quoted name. A date counts as the whole local day, so that its rows are visible at the end of the day.
    """
    return str(_macros().utc_from_local(column, timezone, date_order, end_of_day=True)).strip()


def watermark_at(platform: Platform, table: SourceTable) -> str:
    """SQL of the instant, as naive UTC, of a row of a table that has a watermark among its columns."""
    assert table.watermark
    return visible_at(identifier(table.watermark), platform.timezone, platform.date_order)


def require_times(
    connection: duckdb.DuckDBPyConnection, platform: Platform, table: SourceTable, rows: str, kind: str
) -> None:
    """Refuse a watermark none of whose first thousand values is a time. ``rows`` is SQL that has the column, of type ``kind``.

    Raises:
        PlatformError: None of the values is one.
    """
    assert table.watermark
    column = identifier(table.watermark)
    [(given, read)] = connection.execute(
        f"select count({column}), count({watermark_at(platform, table)})"
        f" from (from ({rows}) where {column} is not null limit {SAMPLE})"
    ).fetchall()
    if given and not read:
        raise PlatformError(
            platform.name,
            table.name,
            f"the watermark '{table.watermark}' is no time",
            received=f"a column of type {kind or 'text'}, in which none of {given} values is one",
            remedy="declare a time as the watermark (a timestamp, a date, text in ISO form, seconds since 1970), or date_order "
            "of the platform, or no watermark, so that the table is compared whole each night",
        )


def day_ends(day: date, timezone: str) -> datetime:
    """The last microsecond of a local day, as naive UTC."""
    return _midnight(day + timedelta(days=1), timezone) - MICROSECOND


def day_begins(day: date, timezone: str) -> datetime:
    """The first instant of a local day, as naive UTC."""
    return _midnight(day, timezone)


def _midnight(day: date, timezone: str) -> datetime:
    return datetime.combine(day, time(), ZoneInfo(timezone)).astimezone(UTC).replace(tzinfo=None)


@cache
def _macros() -> Any:
    files = FileSystemLoader(DBT_PROJECT / "macros")
    return Environment(loader=files, autoescape=False).get_template("time.sql").module  # noqa: S701 - SQL is no HTML
