"""Counts of one platform by day: of tonight's load, and of the good days before."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from expectations.contents.usual import Floats, Limits


@dataclass(frozen=True)
class Loads:
    """What the loads of a night cover, which counts alone cannot say.

    nights_covered  by platform and contract: nights since the load before. Without tonight's load there is no entry
    not_good        by platform: dates of the loads that nobody should learn from, because their gate stopped
    """

    nights_covered: Mapping[tuple[str, str], int]
    not_good: Mapping[str, Collection[date]] = field(default_factory=dict)


@dataclass(frozen=True)
class Counts:
    """One metric: ``amounts`` has a row per day and a column per bucket, both in order."""

    days: tuple[date, ...]
    buckets: tuple[str, ...]
    amounts: Floats

    def of(self, bucket: str) -> Floats:
        """The amounts of one bucket by day; zeros where no day has it."""
        if bucket not in self.buckets:
            return np.zeros(len(self.days))
        return self.amounts[:, self.buckets.index(bucket)]

    def on(self, days: Sequence[date], bucket: str) -> Floats:
        """The amounts of one bucket on these days; zero on a day without rows."""
        amounts = dict(zip(self.days, self.of(bucket), strict=True))
        return np.array([amounts.get(day, 0.0) for day in days])

    def with_quiet_days(self, days: Sequence[date]) -> Counts:
        """With the days between that brought no row: all of what was known is `(kept)` then."""
        known = float(np.median(self.amounts.sum(axis=1)))
        quiet = [day for day in days if day >= self.days[0] and day not in {*self.days}]
        rows = np.where(np.array(self.buckets) == "(kept)", known, 0.0)
        every = [*self.days, *quiet]
        order = sorted(range(len(every)), key=every.__getitem__)
        amounts = np.concatenate([self.amounts, np.tile(rows, (len(quiet), 1))])
        return Counts(tuple(every[each] for each in order), self.buckets, amounts[order])

    def with_buckets(self, buckets: Sequence[str]) -> Floats:
        """Amounts by day, in the order of ``buckets``."""
        return np.stack([self.of(bucket) for bucket in buckets], axis=1)


def _by_metric(rows: pa.Table) -> dict[str, Counts]:
    """The counts of each metric, from rows of contract, metric, bucket, day and amount."""
    names = pc.binary_join_element_wise(rows["contract"], rows["metric"], ".").combine_chunks().dictionary_encode()
    buckets = rows["bucket"].combine_chunks().dictionary_encode()
    codes, bucket_codes = (np.asarray(each.indices) for each in (names, buckets))
    days, amounts = np.asarray(rows["day"]).astype("datetime64[D]"), np.asarray(rows["amount"])
    found = {}
    for code, name in enumerate(names.dictionary.to_pylist()):
        here = codes == code
        of_days, day_index = np.unique(days[here], return_inverse=True)
        of_buckets, bucket_index = np.unique(bucket_codes[here], return_inverse=True)
        table = np.zeros((len(of_days), len(of_buckets)))
        np.add.at(table, (day_index, bucket_index), amounts[here])
        labels = [buckets.dictionary[int(bucket)].as_py() for bucket in of_buckets]
        order = np.argsort(labels)
        found[name] = Counts(
            tuple(of_days.astype(object)), tuple(labels[position] for position in order), table[:, order]
        )
    return found


def _in_all(counts: Mapping[str, Counts]) -> dict[str, dict[str, float]]:
    """The amount of each bucket over all days, by metric."""
    return {
        name: dict(zip(each.buckets, each.amounts.sum(axis=0).tolist(), strict=True)) for name, each in counts.items()
    }


@dataclass(frozen=True)
class PlatformCounts:
    """Counts of one platform: of tonight's load, and of the good days before."""

    as_of: date
    covered: Mapping[str, int]  # nights since the load before, by contract
    first_loads: frozenset[str]  # contracts whose first load this is
    tonight: Mapping[str, Mapping[str, float]]  # amount by bucket
    whole: Mapping[str, Mapping[str, float]]  # the same over the whole load, which differs for a first load
    past: Mapping[str, Counts]
    days: Mapping[str, Sequence[date]]  # good days of a contract, with those that brought nothing
    repetition: float  # events that say as much as one independent event

    @classmethod
    def of(cls, profiles: pa.Table, platform: str, as_of: date, loads: Loads, limits: Limits) -> PlatformCounts:
        rows = profiles.filter(pc.field("platform") == platform)
        not_good = {*loads.not_good.get(platform, ())}
        of_load = rows.filter(pc.field("load_date") == as_of)
        newest = of_load.filter(~pc.field("is_first_load") | (pc.field("day") == as_of))
        earlier = rows.filter(
            (pc.field("day") > as_of - timedelta(limits.history_days))
            & (pc.field("day") < as_of)
            & ((pc.field("load_date") < as_of) | pc.field("is_first_load"))
            & ~pc.field("load_date").isin(pa.array(sorted(not_good), pa.date32()))
        )
        covered = {contract: nights for (name, contract), nights in loads.nights_covered.items() if name == platform}
        past = _by_metric(earlier)
        return cls(
            as_of=as_of,
            covered=covered,
            first_loads=frozenset(of_load.filter(pc.field("is_first_load"))["contract"].unique().to_pylist()),
            tonight=_in_all(_by_metric(newest)),
            whole=_in_all(_by_metric(of_load)),
            past=past,
            days={
                contract: _days(earlier.filter(pc.field("contract") == contract), as_of - timedelta(nights), not_good)
                for contract, nights in covered.items()
            },
            repetition=_repetition(past),
        )

    def nights(self, contract: str) -> list[date]:
        """The nights that are judged. A first load is judged by its last one."""
        count = 1 if contract in self.first_loads else self.covered[contract]
        return [self.as_of - timedelta(number) for number in range(count)]


def _days(rows: pa.Table, last: date, not_good: Collection[date]) -> list[date]:
    """Every good day from the first with rows to the last that an earlier load covers."""
    first = pc.min(rows["day"]).as_py()
    if first is None:
        return []
    return [
        day for day in (first + timedelta(number) for number in range((last - first).days + 1)) if day not in not_good
    ]


def _repetition(past: Mapping[str, Counts]) -> float:
    """Events of one account resemble each other: the median day has this many events to an independent one (Kish 1965)."""
    rows, independent = past.get("events.rows"), past.get("events.independent_rows")
    if rows is None or independent is None:
        return 1.0
    return max(1.0, float(np.median(rows.of("all") / np.maximum(1.0, independent.on(rows.days, "all")))))
