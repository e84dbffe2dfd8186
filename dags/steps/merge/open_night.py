"""Before anything else: can this night run at all?"""

import logging

from dags.steps.night import Night
from infra.layout import require_layout
from infra.platforms import PlatformError, known_between

log = logging.getLogger(__name__)


class NightError(RuntimeError):
    """The night cannot run as asked; the message says why and what to do."""


def open_night(night: Night) -> list[str]:
    """Check what every later step relies on, and return the names of the declared platforms.

    Raises:
        NightError: no platform is declared, or nothing at all is known before the night.
        OtherLayoutError: another release made this home.
    """
    require_layout(night.lake)
    if not night.platforms:
        raise NightError(
            "no platform is declared. Received: no folder under dbt_project/models/staging. Remedy: add one (docs/add-a-platform.md)."
        )
    if not _has_loads(night):
        _require_a_past(night)
    log.info(f"the night of {night.as_of}: {', '.join(night.platforms)}")
    return list(night.platforms)


def _has_loads(night: Night) -> bool:
    return any(night.loads(name, table.name) for name, platform in night.platforms.items() for table in platform.tables)


def _require_a_past(night: Night) -> None:
    """Refuse a first night before every platform's first event. Its loads would only be empty, and would not say why."""
    known = {}
    for name, platform in night.platforms.items():
        try:
            known[name] = known_between(platform, night.settings)
        except PlatformError:
            return  # the task extract reports what cannot be read
    ranges = {name: between for name, between in known.items() if between}
    if ranges and all(first >= night.as_of for first, _ in ranges.values()):
        earliest, latest = min(first for first, _ in ranges.values()), max(last for _, last in ranges.values())
        spans = ", ".join(f"platform '{name}' from {first} to {last}" for name, (first, last) in ranges.items())
        raise NightError(
            f"no platform has events before the night of {night.as_of}. Received: events of {spans}. "
            f"Remedy: choose a night after {earliest}, some weeks later to have something to learn from, such as {latest}."
        )
