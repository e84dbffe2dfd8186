"""What is usual, and how far is far: bounds that are learned from good days."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

import numpy as np
from numpy.typing import NDArray

from expectations.contents.metrics import METRICS, Family, Metric

Floats = NDArray[np.float64]

# How large a difference has to be before it matters, whatever chance says. Volumes: a factor. Shares: Cohen's h, whose 0.2 is
# called small and 0.5 medium (Cohen 1988); from nothing, 0.2 is 1% and 0.4 is 4%. Mixes: the root of the Jensen-Shannon
# divergence at which the population stability index is 0.1 and 0.25, the two bounds in common use (for small differences the
# index is eight times the divergence).
WARN_FACTOR, STOP_FACTOR = 1.25, 1.7
WARN_H, STOP_H = 0.2, 0.4
WARN_DISTANCE, STOP_DISTANCE = float(np.sqrt(0.1 / 8)), float(np.sqrt(0.25 / 8))
COMPARISONS = 2 * len(METRICS)  # of one platform in a night, roughly
WARNINGS_PER_STOP = 20  # warnings that chance may cause for each stop
FEWEST_DAYS = 5  # nothing is learned from fewer
WEEKDAY_DAYS, WEEKDAY_TIMES = 21, 3  # weekdays are told apart from three weeks, of which each has its day
TWICE_AS_FAR_DAYS = 56  # of so many good days, none lies half as far as what is beyond the bound
MAD_EFFICIENCY = 0.37  # of the median absolute deviation beside a standard deviation, for normal data


@dataclass(frozen=True)
class Limits:
    """What a person declares. Everything else is learned.

    history_days            days that count as the past
    min_history_days        with fewer good days than this the gate warns and does not stop
    false_stops_per_year    stops of one platform in a year that chance alone may cause
    max_quarantine          share of a load that may be in quarantine, unless a long past has more
    max_unknown             share of a load's events that may be of unknown accounts or items, unless a long past has more
    max_changed             share of a platform's accounts or items that a load may delete, withdraw, or give another e-mail, gender,
                            title, category and the like, unless a long past has more
    """

    history_days: int = 56
    min_history_days: int = 14
    false_stops_per_year: float = 0.1
    max_quarantine: float = 0.05
    max_unknown: float = 0.2
    max_changed: float = 0.2


@dataclass(frozen=True)
class Finding:
    """One comparison. ``stop`` and ``warn`` are tonight's distance from the usual, in units of the two bounds: above 1 is beyond."""

    metric: str
    family: Family
    text: str
    stop: float
    warn: float


@dataclass(frozen=True)
class Usual:
    """``centre`` is what tonight should be, ``spread`` a robust standard deviation of it, from ``days`` good days."""

    centre: float
    spread: float
    days: int
    residuals: Floats  # of the past, around what each day should have been

    def bound(self, chance: float) -> float:
        """Distance that chance exceeds this often, on both sides together.

        Student's t: the spread is an estimate too, and the fewer days it has, the more it may be wrong.
        """
        from scipy.stats import t

        by_chance = float(t.isf(chance / 2, max(2.0, MAD_EFFICIENCY * (self.days - 1)))) * self.spread
        far = np.sort(np.abs(self.residuals))
        # what good days did twice is no alarm: a spread does not see what is rare
        return max(min(by_chance, self._never()), float(far[-2]))

    def _never(self) -> float:
        """Far beyond the farthest of many days. Student's t is too careful where a few wild days make the spread.

        A sample that is smaller than those of the past may lie farther, as its spread does.
        """
        past = spread_of(self.residuals)
        if past <= 0:
            return float("inf")
        farthest = float(np.abs(self.residuals).max()) * self.spread / past
        return 2 * float(np.sqrt(TWICE_AS_FAR_DAYS / self.days)) * farthest

    @property
    def typical(self) -> tuple[float, float]:
        """Where eight of ten days like tonight lie."""
        low, high = self.centre + np.quantile(self.residuals, [0.1, 0.9])
        return float(low), float(high)


def usual_of(
    values: Floats, days: Sequence[date], nights: Sequence[date], noise: float, fewer: float, *, trend: bool
) -> Usual:
    """Expect the mean of ``nights`` from the past ``values``.

    Weekdays are told apart where there are three weeks of them. With ``trend`` a line by Theil and Sen is followed, unless
    its 95% interval has zero in it. Tonight spreads as the past days did, and no less than ``noise``, its sampling variance;
    more where it has ``fewer`` times the rows of a usual day.
    """
    from scipy.stats import theilslopes

    number = np.array([day.toordinal() for day in days], dtype=np.float64)
    weekday = np.array([day.weekday() for day in days])
    effect = np.zeros(7)
    if len(values) >= WEEKDAY_DAYS:
        common = float(np.median(values))
        for day in range(7):
            same = values[weekday == day]
            if len(same) >= WEEKDAY_TIMES:
                effect[day] = float(np.median(same)) - common
    flat = values - effect[weekday]
    slope = 0.0
    if trend and len(values) >= WEEKDAY_DAYS:
        fitted = theilslopes(flat, number)
        slope = float(fitted.slope) if fitted.low_slope > 0 or fitted.high_slope < 0 else 0.0
    level = flat - slope * number
    base = float(np.median(level))
    centre = float(np.mean([base + slope * night.toordinal() + effect[night.weekday()] for night in nights]))
    spread = np.sqrt(max(spread_of(level - base) ** 2 * max(1.0, fewer), noise))
    return Usual(centre, float(spread), len(values), level - base)


def spread_of(residuals: Floats) -> float:
    """A robust standard deviation. The quantiles see a rhythm in a minority of days, which the median deviation does not."""
    low, high = np.quantile(residuals, [0.1, 0.9])
    return float(max(1.4826 * np.median(np.abs(residuals - np.median(residuals))), (high - low) / 2.563))


def chances(limits: Limits) -> tuple[float, float]:
    """How often chance may warn and stop in one comparison, from how often it may stop in a year."""
    stops = limits.false_stops_per_year / (365 * COMPARISONS)
    return stops * WARNINGS_PER_STOP, stops


def finding_of(
    metric: Metric,
    text: str,
    deviation: float,
    usual: Usual,
    floors: tuple[float, float],
    limits: Limits,
    wider: float,
) -> Finding:
    """``floors`` are those of warn and stop. A young past only warns."""
    warns, stops = (
        deviation / (max(usual.bound(chance), floor * metric.floor) * wider)
        for chance, floor in zip(chances(limits), floors, strict=True)
    )
    only_warns = metric.warns or usual.days < limits.min_history_days
    return Finding(metric.name, metric.family, text, 0.0 if only_warns else float(stops), float(max(warns, stops)))
