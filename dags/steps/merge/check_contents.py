"""Step 3's gate: what each platform's load says, beside that platform's own past."""

from datetime import date, timedelta

from dags.steps.merge.hold import hold_or_stop
from dags.steps.night import Night
from expectations.contents import Limits, Loads, frame, judge, suite
from expectations.gate import GateResult, run_gate
from infra.platforms import SourceTable
from infra.warehouse import query


def check_contents(night: Night, platform: str) -> None:
    """Compare the load of one platform with its good loads before. A load that is too different is held.

    Raises:
        GateStopped: the platform has no earlier load; names each metric beyond its bound, what was found, what is usual, and the remedy.
    """
    settings = night.settings
    limits = Limits(
        history_days=settings.gate_history_days,
        min_history_days=settings.gate_min_history_days,
        false_stops_per_year=settings.gate_false_stops_per_year,
        max_quarantine=settings.gate_max_quarantine,
        max_unknown=settings.max_unknown_ids,
        max_changed=settings.gate_max_changed,
    )
    profiles = query(
        settings,
        "from intermediate.int_quality__load_profiles where day > $since and load_date <= $night",
        {"since": night.as_of - timedelta(limits.history_days), "night": night.as_of},
    )
    findings = judge(
        profiles,
        platform,
        as_of=night.as_of,
        loads=_loads(night, limits),
        limits=limits,
        bounds=night.platforms[platform].gate_bounds,
    )
    result = run_gate("contents", suite(platform), frame(findings), as_of=night.as_of, platform=platform)
    hold_or_stop(night, platform, result)


def _loads(night: Night, limits: Limits) -> Loads:
    covered: dict[tuple[str, str], int] = {}
    not_good: dict[str, list[date]] = {}
    for name, platform in night.platforms.items():
        for table in platform.tables:
            if table.contract != "none" and (nights := _nights_covered(night, name, table)):
                covered[name, table.contract] = nights
        not_good[name] = _stopped(night, name, limits.history_days)
    return Loads(covered, not_good)


def _nights_covered(night: Night, platform: str, table: SourceTable) -> int:
    """Nights since the load before tonight's; 1 for a first load, 0 where nothing was loaded tonight."""
    dates = [load.as_of for load in night.loads(platform, table.name)]
    if night.as_of not in dates:
        return 0
    return (night.as_of - dates[-2]).days if len(dates) > 1 else 1


def _stopped(night: Night, platform: str, days: int) -> list[date]:
    """Nights of the last weeks whose load this gate stopped: nobody learns from them."""
    dates = [night.as_of - timedelta(number) for number in range(1, days + 1)]
    loaded = {load.as_of for table in night.platforms[platform].tables for load in night.loads(platform, table.name)}
    found = (
        (as_of, Night(as_of, settings=night.settings).find(GateResult, f"contents-{platform}"))
        for as_of in dates
        if as_of in loaded
    )
    return [as_of for as_of, result in found if result is not None and result.verdict == "stop"]
