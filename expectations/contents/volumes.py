"""Volumes and delays: how much came, by itself and beside the other platforms."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from expectations.contents.metrics import Metric
from expectations.contents.past import PlatformCounts
from expectations.contents.usual import (
    FEWEST_DAYS,
    STOP_FACTOR,
    WARN_FACTOR,
    WEEKDAY_DAYS,
    Finding,
    Limits,
    Usual,
    finding_of,
    spread_of,
    usual_of,
)

FLOORS = (float(np.log(WARN_FACTOR)), float(np.log(STOP_FACTOR)))  # of the logarithm of a volume
WARN_DELAY, STOP_DELAY = 6 * 60.0, 24 * 60.0  # minutes
WARN_TYPE_FACTOR, STOP_TYPE_FACTOR = 3.0, 10.0
SHARED_FACTOR = 2.0  # a holiday explains at most this
SHARED_WITH = ("events.rows", "events.accounts", "events.items", "accounts.new")


def volumes_of(
    mine: PlatformCounts, others: Sequence[PlatformCounts], metric: Metric, limits: Limits, wider: float
) -> Iterable[Finding]:
    """Compare a volume or a delay with its past, beside the other platforms, and over the last week."""
    found = _volume(mine, metric)
    if found is None:
        return
    yield _finding(found, _shared(others, metric, found.deviation), metric, limits, wider)
    if metric.name in SHARED_WITH:
        yield from _beside(mine, others, metric, limits, wider)
    if metric.name == "events.rows":
        yield from _level(found, metric, wider)


@dataclass(frozen=True)
class _Volume:
    amount: float
    deviation: float  # of its logarithm
    usual: Usual
    offset: float  # added before the logarithm is taken


def _volume(of: PlatformCounts, metric: Metric) -> _Volume | None:
    contract = metric.contract
    past = of.past.get(metric.name)
    if contract not in of.covered or past is None:
        return None
    is_delay = metric.kind == "delay"
    is_sum = not is_delay and not metric.of_known
    days = [
        day for day in of.days[contract] if day >= past.days[0]
    ]  # accounts and items count changes after the first load
    if not is_sum:  # a day without events has no newest one, and a day without items no size of the catalogue
        days = [day for day in days if day in {*past.days}]
    if len(days) < FEWEST_DAYS or (not is_sum and metric.name not in of.tonight):
        return None
    nights = of.nights(contract)
    amount = of.tonight.get(metric.name, {}).get("all", 0.0) / (len(nights) if is_sum else 1)
    amounts, offset = past.on(days, "all"), 60.0 if is_delay else 0.5
    noise = 0.0 if is_delay else 1 / (max(1.0, float(np.median(amounts))) * len(nights))
    usual = usual_of(np.log(amounts + offset), days, nights, noise, 1.0, trend=not is_delay)
    return _Volume(amount, float(np.log(amount + offset)) - usual.centre, usual, offset)


def _shared(others: Sequence[PlatformCounts], metric: Metric, deviation: float) -> float:
    """The part of a deviation that all other platforms have too: a holiday is quiet everywhere. Zero unless all agree."""
    if metric.name not in SHARED_WITH:
        return 0.0
    found = [volume.deviation for other in others if (volume := _volume(other, metric)) is not None]
    if not found or any(np.sign(each) != np.sign(deviation) for each in found):
        return 0.0
    return float(np.sign(deviation)) * min(float(np.log(SHARED_FACTOR)), *(abs(each) for each in found))


def _finding(found: _Volume, shared: float, metric: Metric, limits: Limits, wider: float) -> Finding:
    low, high = (max(0.0, float(np.exp(end)) - found.offset) for end in found.usual.typical)
    deviation = found.deviation - shared
    if metric.kind == "delay":
        text = f"{metric.words} {found.amount / 60:,.1f}, usual {low / 60:,.1f} to {high / 60:,.1f}"
        usually = float(np.exp(found.usual.centre))
        floors = (float(np.log1p(WARN_DELAY / usually)), float(np.log1p(STOP_DELAY / usually)))
        return finding_of(metric, text, max(0.0, deviation), found.usual, floors, limits, wider)
    text = f"{metric.words} {found.amount:,.0f}, usual {low:,.0f} to {high:,.0f}"
    deviation = max(0.0, deviation) if metric.rises else abs(deviation)
    return finding_of(metric, text, deviation, found.usual, FLOORS, limits, wider)


def _beside(
    mine: PlatformCounts, others: Sequence[PlatformCounts], metric: Metric, limits: Limits, wider: float
) -> Iterable[Finding]:
    """The volume beside that of each other platform: what moves all of them does not hide what happens to one.

    It has to be far from usual beside every one of at least two others; otherwise the other one may be what is wrong.
    """
    found = [each for other in others if (each := _ratio(mine, other, metric, limits, wider)) is not None]
    if len(found) > 1:
        yield min(found, key=lambda finding: (finding.stop, finding.warn))


def _ratio(mine: PlatformCounts, other: PlatformCounts, metric: Metric, limits: Limits, wider: float) -> Finding | None:
    """None where a platform has no load tonight, or where the two have too few days in common."""
    contract = metric.contract
    past, past_of_other = mine.past.get(metric.name), other.past.get(metric.name)
    if past is None or past_of_other is None or contract not in mine.covered or contract not in other.covered:
        return None
    first = max(past.days[0], past_of_other.days[0])
    days = sorted(day for day in {*mine.days[contract]} & {*other.days[contract]} if day >= first)
    nights = mine.nights(contract)
    if len(days) < FEWEST_DAYS or nights != other.nights(contract):
        return None
    values = np.log(past.on(days, "all") + 0.5) - np.log(past_of_other.on(days, "all") + 0.5)
    amounts = [each.tonight.get(metric.name, {}).get("all", 0.0) / len(nights) for each in (mine, other)]
    # the same people may be on both platforms: the ratio has no sampling of its own
    usual = usual_of(values, days, nights, 0.0, 1.0, trend=True)
    deviation = float(np.log(amounts[0] + 0.5) - np.log(amounts[1] + 0.5)) - usual.centre
    text = f"{metric.words} {np.exp(deviation):.0%} of what those of other platforms promise"
    return finding_of(metric, text, abs(deviation), usual, FLOORS, limits, wider)


def _level(found: _Volume, metric: Metric, wider: float) -> Iterable[Finding]:
    """Whether the last seven nights together are below the weeks before: a slow decline that no single night shows."""
    residuals = np.append(found.usual.residuals, found.deviation)
    if len(residuals) < WEEKDAY_DAYS + 7:
        return
    last, before = residuals[-7:], residuals[:-7]
    fall = float(np.median(before)) - float(np.mean(last))
    bound = max(float(np.log(WARN_FACTOR)), 3 * spread_of(before) / np.sqrt(7)) * wider
    text = f"{metric.words} {np.exp(-fall):.0%} of what the weeks before promised, in the last seven nights together"
    yield Finding(metric.name, metric.family, text, 0.0, float(fall / bound))


def missing_types(of: PlatformCounts, metric: Metric, limits: Limits, wider: float) -> Iterable[Finding]:
    """Each type of event by itself, downwards: a rare type may vanish without moving any share by much."""
    past = of.past.get(metric.name)
    if "events" not in of.covered or past is None or len(of.days["events"]) < FEWEST_DAYS:
        return
    days, nights, tonight = of.days["events"], of.nights("events"), of.tonight.get(metric.name, {})
    for bucket in past.buckets:
        amounts, amount = past.on(days, bucket), tonight.get(bucket, 0.0) / len(nights)
        expected = float(np.median(amounts))
        if expected < 1:
            continue
        usual = usual_of(np.log(amounts + 0.5), days, nights, 1 / (expected * len(nights)), 1.0, trend=True)
        low, high = (float(np.exp(end)) for end in usual.typical)
        text = f"events of type {bucket} {amount:,.0f}, usual {low:,.0f} to {high:,.0f}"
        fall = max(0.0, usual.centre - float(np.log(amount + 0.5)))
        # half of a type belongs to a quiet night, which is judged elsewhere; this is about a type that is nearly gone
        floors = (float(np.log(WARN_TYPE_FACTOR)), float(np.log(STOP_TYPE_FACTOR)))
        yield finding_of(metric, text, fall, usual, floors, limits, wider)
