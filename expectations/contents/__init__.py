"""Gate `contents`: what one platform's load says, compared with that platform's own past.

dbt counts each load by day, metric and bucket (`int_quality__load_profiles`). From the good days before tonight this room
learns what is usual, and how far one day is from another. A stop needs two things at once: tonight lies so far outside that
chance alone would not do it, and the difference is large enough to matter. docs/decisions/0028 has the reasons.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import date

import pyarrow as pa
import pyarrow.compute as pc

from expectations.contents.gate import frame, suite
from expectations.contents.metrics import METRICS, NAMES, Metric
from expectations.contents.mixes import mix_of
from expectations.contents.past import Loads, PlatformCounts
from expectations.contents.shares import compared_of, nonsense_of, shares_of
from expectations.contents.usual import Finding, Limits
from expectations.contents.volumes import SHARED_WITH, missing_types, volumes_of

__all__ = ["METRICS", "NAMES", "Finding", "Limits", "Loads", "Metric", "frame", "judge", "suite"]


def judge(
    profiles: pa.Table,
    platform: str,
    *,
    as_of: date,
    loads: Loads,
    limits: Limits | None = None,
    bounds: Mapping[str, float] | None = None,
) -> list[Finding]:
    """Compare tonight's load of ``platform`` with its past. The farthest outside comes first.

    ``profiles`` has platform, contract, load_date, is_first_load, day, metric, bucket, amount; of other platforms at least the
    volumes. ``bounds`` widens metrics by name: 3.0 makes both of a metric's bounds three times as wide.
    """
    limits, bounds = limits or Limits(), bounds or {}
    mine = PlatformCounts.of(profiles, platform, as_of, loads, limits)
    names = pc.binary_join_element_wise(profiles["contract"], profiles["metric"], ".")
    shared = profiles.filter(pc.is_in(names, pa.array([*SHARED_WITH, "events.independent_rows"])))
    others = [
        PlatformCounts.of(shared, name, as_of, loads, limits)
        for name in sorted({*profiles["platform"].unique().to_pylist()} - {platform})
    ]
    found = [
        finding
        for metric in METRICS
        for finding in _compare(mine, others, metric, limits, bounds.get(metric.name, 1.0))
    ]
    return sorted(found, key=lambda finding: (-finding.stop, -finding.warn, finding.metric, finding.text))


def _compare(
    mine: PlatformCounts, others: Sequence[PlatformCounts], metric: Metric, limits: Limits, wider: float
) -> Iterable[Finding]:
    if metric.kind in ("volume", "delay"):
        yield from volumes_of(mine, others, metric, limits, wider)
        return
    if metric.of_times and mine.covered.get(metric.contract, 1) > 1:
        metric = replace(metric, warns=True)
    compared = compared_of(mine, metric)
    if compared is not None and metric.kind == "share":
        yield from shares_of(compared, metric, limits, wider)
    elif compared is not None:
        yield from mix_of(compared, metric, limits, wider)
    if metric.name == "events.event_type":
        yield from missing_types(mine, metric, limits, wider)
    if metric.at_most:
        yield from nonsense_of(mine, metric, getattr(limits, metric.at_most), limits, wider)
