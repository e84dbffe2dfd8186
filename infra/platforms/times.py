"""Times of the sources as the staging models read them: the SQL comes from dbt's own macro, so there is one parser."""

from datetime import UTC, date, datetime, time, timedelta
from functools import cache
from typing import Any
from zoneinfo import ZoneInfo

from jinja2 import Environment, FileSystemLoader

from infra.warehouse import DBT_PROJECT

MICROSECOND = timedelta(microseconds=1)


def visible_at(column: str, timezone: str, date_order: str) -> str:
    """SQL of the instant, as naive UTC, at which a row with this watermark is visible; null where the text is no time.

    ``column`` is a quoted name. A date counts as the whole local day, so that its rows are visible at the end of the day.
    """
    return str(_macros().utc_from_local(column, timezone, date_order, end_of_day=True)).strip()


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
