"""Before anything else: can this night run at all?"""

import logging
from datetime import date, timedelta

from dags.steps.night import Night
from dags.steps.records import Finished
from infra.layout import require_layout
from infra.platforms import PlatformError, known_between
from infra.warehouse import DBT_PROJECT

log = logging.getLogger(__name__)


class NightError(RuntimeError):
    """The night cannot run as asked; the message says why and what to do."""


def open_night(night: Night) -> list[str]:
    """Check what every later step relies on, and return the names of the declared platforms.

    From here on the night is not finished, until its last step says so again.

    Raises:
        NightError: no platform is declared, nothing at all is known before the night, or it lies far beyond the data.
        OtherLayoutError: another release made this home.
    """
    require_layout(night.lake)
    if not night.platforms:
        raise NightError(
            f"no platform is declared. Received: no folder with a sources file under {DBT_PROJECT / 'models' / 'staging'}. Remedy: add one "
            "(docs/add-a-platform.md), or correct CROSSREC_DBT_PROJECT."
        )
    _require_data(night)
    night.forget(Finished)
    log.info(f"the night of {night.as_of}: {', '.join(night.platforms)}")
    return list(night.platforms)


def _require_data(night: Night) -> None:
    """Refuse a first night before every platform's first event, and any night far beyond every platform's last.

    Its loads would only be empty, and would not say why. Of a night with loads that are new enough no source is asked.
    """
    newest_loaded = _newest_loaded(night)
    has_loads = any(
        night.loads(name, table.name) for name, platform in night.platforms.items() for table in platform.tables
    )
    if has_loads and newest_loaded and night.as_of <= _last_night_for(night, newest_loaded):
        return
    known = {}
    for name, platform in night.platforms.items():
        try:
            known[name] = known_between(platform, night.settings)
        except PlatformError:
            return  # the task extract reports what cannot be read
    ranges = {name: between for name, between in known.items() if between}
    if not ranges:
        return
    if not has_loads:
        _require_a_past(night, ranges)
    _require_a_present(night, ranges)


def _newest_loaded(night: Night) -> date | None:
    """The newest day of any event that a load up to this night has; None where loads do not tell."""
    known = [
        load.newest_known_at.date()
        for name, platform in night.platforms.items()
        for table in platform.tables
        if table.contract == "events" and table.has_watermark
        for load in night.loads(name, table.name)
        if load.newest_known_at
    ]
    return max(known, default=None)


def _last_night_for(night: Night, newest: date) -> date:
    """The last night that still counts as one of data whose newest day is this one."""
    stale = max(platform.max_staleness_days for platform in night.platforms.values())
    return newest + timedelta(1 + stale + night.settings.max_quiet_days)


def _require_a_past(night: Night, ranges: dict[str, tuple[date, date]]) -> None:
    if all(first >= night.as_of for first, _ in ranges.values()):
        earliest, latest = min(first for first, _ in ranges.values()), max(last for _, last in ranges.values())
        raise NightError(
            f"no platform has events before the night of {night.as_of}. Received: events of {_spans(ranges)}. "
            f"Remedy: choose a night after {earliest}, some weeks later to have something to learn from, such as {latest}."
        )


def _require_a_present(night: Night, ranges: dict[str, tuple[date, date]]) -> None:
    newest = max(last for _, last in ranges.values())
    if night.as_of > (last_night := _last_night_for(night, newest)):
        raise NightError(
            f"the night of {night.as_of} lies far beyond the data. Received: events of {_spans(ranges)}. "
            f"Remedy: choose a night up to {last_night}, or see why no platform has newer events; where platforms may be quiet "
            f"for so long, raise CROSSREC_MAX_QUIET_DAYS (it is {night.settings.max_quiet_days})."
        )


def _spans(ranges: dict[str, tuple[date, date]]) -> str:
    return ", ".join(f"platform '{name}' from {first} to {last}" for name, (first, last) in ranges.items())
