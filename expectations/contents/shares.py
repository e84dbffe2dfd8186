"""Shares: a part of the rows, or of all that a platform has."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date

import numpy as np

from expectations.contents.metrics import Metric
from expectations.contents.past import PlatformCounts
from expectations.contents.usual import (
    FEWEST_DAYS,
    STOP_H,
    WARN_H,
    Finding,
    Floats,
    Limits,
    Usual,
    finding_of,
    usual_of,
)

FEW_ROWS = 30  # a day with fewer independent rows has no share of its own
NONSENSE_CHANCE = 1e-3


@dataclass(frozen=True)
class Compared:
    """Tonight's amounts and those of each past day in the same buckets."""

    buckets: tuple[str, ...]
    tonight: Floats
    past: Floats  # a row per day
    days: Sequence[date]
    nights: Sequence[date]

    def at(self, bucket: str) -> tuple[float, Floats]:
        """Tonight's amount of a bucket, and that of each past day."""
        where = self.buckets.index(bucket)
        return float(self.tonight[where]), self.past[:, where]


def compared_of(of: PlatformCounts, metric: Metric) -> Compared | None:
    """None where the night has no load, where its load has no such row, or where the past is too short."""
    contract = metric.contract
    tonight, past = of.tonight.get(metric.name), of.past.get(metric.name)
    if contract not in of.covered or tonight is None or past is None:
        return None
    if metric.of_known:
        past = past.with_quiet_days(of.days[contract])
    if len(past.days) < FEWEST_DAYS:
        return None
    buckets = tuple(sorted({*tonight} | {*past.buckets}))
    amounts = np.array([tonight.get(bucket, 0.0) for bucket in buckets])
    if amounts.sum() <= 0:
        return None
    nights = of.nights(contract)
    return Compared(buckets, amounts, past.with_buckets(buckets), past.days, nights)


def shares_of(compared: Compared, metric: Metric, limits: Limits, wider: float) -> Iterable[Finding]:
    wanted = [metric.bucket] if metric.bucket else [bucket for bucket in compared.buckets if bucket != "(kept)"]
    for bucket in wanted:
        if bucket in compared.buckets:
            words = metric.words if metric.bucket else f"{metric.words}: {bucket}"
            yield share_of(compared, metric, words, *compared.at(bucket), limits, wider)


def _angle(part: Floats, whole: Floats) -> Floats:
    """A share on Cohen's scale, 0 to pi, where its sampling variance is 1/n whatever the share is."""
    angle: Floats = 2 * np.arcsin(np.sqrt(np.clip(part / np.maximum(whole, 1.0), 0.0, 1.0)))
    return angle


def share_of(
    compared: Compared,
    metric: Metric,
    words: str,
    part: float,
    past_part: Floats,
    limits: Limits,
    wider: float,
    *,
    rises: bool = False,
) -> Finding:
    whole, past_whole = float(compared.tonight.sum()), compared.past.sum(axis=1)
    values, noise, usually = _angle(past_part, past_whole), 1 / whole, float(np.median(past_whole))
    if usually < FEW_ROWS:
        # the share of a day of a handful of rows says little, and its median less: all days together are the usual share
        pooled = float(_angle(past_part.sum(keepdims=True), past_whole.sum(keepdims=True))[0])
        residuals = values - pooled
        between = max(0.0, float(np.average(residuals**2 - 1 / np.maximum(past_whole, 1.0), weights=past_whole)))
        usual = Usual(pooled, float(np.sqrt(between + noise)), len(values), np.zeros(len(values)))
    else:
        usual = usual_of(values, compared.days, compared.nights, noise, usually / whole, trend=False)
    deviation = float(_angle(np.array([part]), np.array([whole]))[0]) - usual.centre
    low, high = (float(np.sin(np.clip(end, 0, np.pi) / 2) ** 2) for end in usual.typical)
    text = f"{words} {part / whole:.1%} of {whole:,.0f}, usual {low:.1%} to {high:.1%}"
    deviation = max(0.0, deviation) if metric.rises or rises else abs(deviation)
    return finding_of(metric, text, deviation, usual, (WARN_H, STOP_H), limits, wider)


def nonsense_of(of: PlatformCounts, metric: Metric, at_most: float, limits: Limits, wider: float) -> Iterable[Finding]:
    """Too much of the load is of no use. That stops without any past, unless a long past says that it is always so."""
    from scipy.stats import beta

    contract = metric.contract
    load = of.whole.get(metric.name)
    if load is None or contract not in of.covered:
        return
    whole = sum(load.values())
    bad = load.get(metric.bucket, 0.0) if metric.bucket else whole - load.get("(kept)", 0.0)
    if bad <= 0:
        return
    past = of.past.get(metric.name)
    if past is not None and contract not in of.first_loads and len(past.days) >= limits.min_history_days:
        total = past.amounts.sum(axis=1)
        always = past.of(metric.bucket) if metric.bucket else total - past.of("(kept)")
        if float(np.median(always / np.maximum(total, 1.0))) > at_most / 2:
            return  # what is learned judges it
    independent = 1 / of.repetition if contract == "events" and metric.name != "events.account_known" else 1.0
    surely = float(beta.ppf(NONSENSE_CHANCE, bad * independent, (whole - bad) * independent + 1))
    text = f"{metric.words} {bad / whole:.1%} of {whole:,.0f} in the whole load, at most {at_most:.0%}"
    reached = surely / (at_most * wider)
    yield Finding(metric.name, metric.family, text, reached, reached)
