"""Gate `contents`: what one platform's load says, compared with that platform's own past.

dbt counts each load by day, metric and bucket (`int_quality__load_profiles`). From the good days before tonight this module
learns what is usual, and how far one day is from another. A stop needs two things at once: tonight lies so far outside that
chance alone would not do it, and the difference is large enough to matter. docs/decisions/0028 has the reasons.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import TYPE_CHECKING, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from expectations.gate import stop, warn

if TYPE_CHECKING:
    import great_expectations as gx

Floats = NDArray[np.float64]
Kind = Literal["volume", "delay", "share", "mix"]
Family = Literal[
    "volume", "quarantine", "references", "repeats", "values", "times", "behaviour", "accounts", "catalogue"
]


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
class Metric:
    """What is compared.

    kind    volume: a number of a day; delay: minutes; share: the share of bucket ``bucket``; mix: all buckets together
    bucket  of a share. None: each bucket but `(kept)` is a share of its own
    named   whether a message may name buckets: they are ours, or a seed's, and never what a source wrote
    rises   only a rise matters: there cannot be too few of them
    warns   it never stops: a platform may do so on purpose
    of_known  of all accounts or items that the platform had before, not of the rows of the load
    unseen  whether buckets never seen are judged by themselves; not where an eager account or a busy night makes new ones
    floor   how much larger than elsewhere a difference has to be before it matters
    """

    name: str
    kind: Kind
    family: Family
    words: str
    bucket: str | None = None
    named: bool = False
    rises: bool = False
    warns: bool = False
    of_known: bool = False
    unseen: bool = True
    floor: float = 1.0


METRICS = (
    Metric("events.rows", "volume", "volume", "events a night"),
    Metric("events.accounts", "volume", "volume", "active accounts a night"),
    Metric("events.items", "volume", "volume", "items with events a night"),
    Metric("events.newest", "delay", "volume", "hours between the newest event and the end of the night"),
    Metric(
        "events.status",
        "share",
        "repeats",
        "share of events that came before under the same id",
        "duplicate",
        rises=True,
    ),
    Metric("events.quarantine", "share", "quarantine", "share of events in quarantine", named=True, rises=True),
    Metric("events.event_type", "mix", "values", "types of event", named=True),
    Metric("events.value", "mix", "values", "values of events", named=True),
    Metric("events.device", "mix", "values", "devices of events"),
    Metric("events.category", "mix", "values", "categories of events"),
    Metric("events.hour", "mix", "times", "hours of the day of events (UTC)", named=True),
    Metric("events.age", "mix", "times", "minutes from event to arrival (power of two)", named=True),
    Metric("events.days_old", "mix", "times", "calendar days from event to arrival (UTC)", named=True),
    Metric(
        "events.account_known",
        "share",
        "references",
        "share of active accounts that are unknown",
        "unknown",
        rises=True,
    ),
    Metric("events.item_known", "share", "references", "share of events of unknown items", "unknown", rises=True),
    Metric("events.account_shape", "mix", "references", "characters of active accounts' ids", named=True),
    Metric("events.item_shape", "mix", "references", "characters of item ids in events", named=True),
    Metric("events.event_shape", "mix", "references", "characters of event ids", named=True),
    Metric(
        "events.account_tenure",
        "mix",
        "behaviour",
        "minutes from sign-up to event (power of two) of accounts",
        named=True,
    ),
    Metric("events.busiest_account", "volume", "behaviour", "events of the busiest account", rises=True),
    Metric(
        "events.account_load",
        "mix",
        "behaviour",
        "events of one account in a night (half powers of two)",
        named=True,
        unseen=False,
    ),
    Metric("events.top_item", "share", "behaviour", "share of events on the most popular item", "true"),
    Metric(
        "events.item_load", "mix", "behaviour", "share of one item in a night (power of two)", named=True, unseen=False
    ),
    Metric(
        "events.repeated", "share", "repeats", "share of events that came before under another id", "true", rises=True
    ),
    Metric(
        "events.corrected",
        "share",
        "repeats",
        "share of events whose id came before with other content",
        "true",
        rises=True,
    ),
    Metric("events.returning", "share", "behaviour", "share of events of accounts active in the last weeks", "true"),
    Metric("events.known_pair", "share", "behaviour", "share of events on an item that the account had before", "true"),
    Metric(
        "events.known_taste", "share", "behaviour", "share of events in a category that the account had before", "true"
    ),
    Metric(
        "events.same_category",
        "share",
        "behaviour",
        "share of events in the category of the same account's event before",
        "true",
    ),
    Metric(
        "events.value_agrees",
        "share",
        "behaviour",
        "share of events whose value is high or low as their item's were",
        "true",
        floor=0.5,
    ),
    Metric("events.in_session", "share", "behaviour", "share of events soon after another of the same account", "true"),
    Metric("accounts.rows", "volume", "accounts", "changed accounts a night", warns=True),
    Metric("accounts.new", "volume", "accounts", "new accounts a night"),
    Metric(
        "accounts.lost",
        "share",
        "accounts",
        "share of known accounts deleted in a night",
        "true",
        rises=True,
        of_known=True,
    ),
    Metric(
        "accounts.changed",
        "share",
        "accounts",
        "share of known accounts that changed",
        named=True,
        rises=True,
        of_known=True,
    ),
    Metric(
        "accounts.status",
        "share",
        "repeats",
        "share of account rows that came before",
        "duplicate",
        rises=True,
        warns=True,
    ),
    Metric("accounts.quarantine", "share", "quarantine", "share of account rows in quarantine", named=True, rises=True),
    Metric("accounts.email", "share", "accounts", "share of accounts without e-mail", "(none)"),
    Metric("accounts.phone", "share", "accounts", "share of accounts without phone", "(none)"),
    Metric("accounts.age_band", "mix", "accounts", "age bands of accounts"),
    Metric("accounts.gender", "mix", "accounts", "genders of accounts"),
    Metric("accounts.deleted", "share", "accounts", "share of account rows that are deleted", "true"),
    Metric("accounts.shape", "mix", "accounts", "characters of account ids", named=True),
    Metric(
        "accounts.tenure",
        "mix",
        "accounts",
        "minutes from sign-up to arrival of new accounts (power of two)",
        named=True,
        warns=True,
    ),
    Metric(
        "accounts.contacts_changed",
        "share",
        "accounts",
        "share of changed accounts with another e-mail or phone",
        "true",
        rises=True,
    ),
    Metric(
        "accounts.email_shared",
        "share",
        "accounts",
        "share of accounts with an e-mail of another account",
        "true",
        rises=True,
    ),
    Metric("items.rows", "volume", "catalogue", "changed items a night", warns=True),
    Metric("items.new", "volume", "catalogue", "new items a night", warns=True),
    Metric("items.catalogue", "volume", "catalogue", "items that can be recommended", of_known=True),
    Metric(
        "items.listed",
        "share",
        "catalogue",
        "new items beside the known ones",
        "true",
        rises=True,
        of_known=True,
        floor=1.6,
    ),
    Metric(
        "items.withdrawn",
        "share",
        "catalogue",
        "share of the catalogue withdrawn in a night",
        "true",
        rises=True,
        of_known=True,
    ),
    Metric(
        "items.returned",
        "share",
        "catalogue",
        "share of the catalogue available again",
        "true",
        rises=True,
        of_known=True,
        floor=2.0,
    ),
    Metric(
        "items.changed",
        "share",
        "catalogue",
        "share of known items that changed",
        named=True,
        rises=True,
        of_known=True,
    ),
    Metric(
        "items.status", "share", "repeats", "share of item rows that came before", "duplicate", rises=True, warns=True
    ),
    Metric("items.quarantine", "share", "quarantine", "share of item rows in quarantine", named=True, rises=True),
    Metric("items.title_shape", "mix", "catalogue", "characters of titles", named=True),
    Metric("items.title_length", "mix", "catalogue", "lengths of titles (half powers of two)", named=True),
    Metric(
        "items.title_changed", "share", "catalogue", "share of changed items with another title", "true", rises=True
    ),
    Metric(
        "items.title_shared", "share", "catalogue", "share of items with the title of another item", "true", rises=True
    ),
    Metric("items.description", "mix", "catalogue", "lengths of descriptions (power of two)", named=True),
    Metric("items.release_year", "mix", "catalogue", "decades of items", named=True),
    Metric("items.creator", "share", "catalogue", "share of items without creator", "(none)"),
    Metric("items.gtin", "share", "catalogue", "share of items without GTIN", "(none)"),
    Metric("items.isbn", "share", "catalogue", "share of items without ISBN", "(none)"),
    Metric("items.imdb_id", "share", "catalogue", "share of items without IMDb id", "(none)"),
    Metric("items.category", "mix", "catalogue", "categories of items"),
    Metric(
        "items.categories_changed",
        "share",
        "catalogue",
        "share of changed items with other categories",
        "true",
        rises=True,
    ),
    Metric("items.price", "mix", "catalogue", "prices of items (half powers of two)", named=True),
    Metric("items.price_change", "mix", "catalogue", "changes of price (half powers of two)", named=True),
    Metric("items.available", "share", "catalogue", "share of item rows that are not available", "false"),
    Metric("items.shape", "mix", "catalogue", "characters of item ids", named=True),
    Metric(
        "items.tenure",
        "mix",
        "catalogue",
        "minutes from listing to arrival of new items (power of two)",
        named=True,
        warns=True,
    ),
)
NAMES = tuple(metric.name for metric in METRICS)

# How large a difference has to be before it matters, whatever chance says. Volumes: a factor. Shares: Cohen's h, whose 0.2 is
# called small and 0.5 medium (Cohen 1988); from nothing, 0.2 is 1% and 0.4 is 4%. Mixes: the root of the Jensen-Shannon
# divergence at which the population stability index is 0.1 and 0.25, the two bounds in common use (for small differences the
# index is eight times the divergence).
WARN_FACTOR, STOP_FACTOR = 1.25, 1.7
WARN_H, STOP_H = 0.2, 0.4
WARN_DISTANCE, STOP_DISTANCE = float(np.sqrt(0.1 / 8)), float(np.sqrt(0.25 / 8))
WARN_DELAY, STOP_DELAY = 6 * 60.0, 24 * 60.0  # minutes
WARN_TYPE_FACTOR, STOP_TYPE_FACTOR = 3.0, 10.0
COMPARISONS = 2 * len(METRICS)  # of one platform in a night, roughly
WARNINGS_PER_STOP = 20  # warnings that chance may cause for each stop
FEWEST_DAYS = 5  # nothing is learned from fewer
WEEKDAY_DAYS, WEEKDAY_TIMES = 21, 3  # weekdays are told apart from three weeks, of which each has its day
TWICE_AS_FAR_DAYS = 56  # of so many good days, none lies half as far as what is beyond the bound
MAD_EFFICIENCY = 0.37  # of the median absolute deviation beside a standard deviation, for normal data
SHARED_FACTOR = 2.0  # a holiday explains at most this
SHARED_WITH = ("events.rows", "events.accounts", "events.items", "accounts.new")
FEW_ROWS = 30  # a day with fewer independent rows has no share of its own
NONSENSE = ("events.account_known", "events.item_known", "events.repeated")
NONSENSE_OF_KNOWN = ("accounts.lost", "accounts.changed", "items.withdrawn", "items.returned", "items.changed")
NONSENSE_CHANCE = 1e-3


@dataclass(frozen=True)
class Finding:
    """One comparison. ``stop`` and ``warn`` are tonight's distance from the usual, in units of the two bounds: above 1 is beyond."""

    metric: str
    family: Family
    text: str
    stop: float
    warn: float


@dataclass(frozen=True)
class Loads:
    """What the loads of a night cover, which counts alone cannot say.

    nights_covered  by platform and contract: nights since the load before. Without tonight's load there is no entry
    not_good        by platform: dates of the loads that nobody should learn from, because their gate stopped
    """

    nights_covered: Mapping[tuple[str, str], int]
    not_good: Mapping[str, Collection[date]] = field(default_factory=dict)


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
    mine = _Platform.of(profiles, platform, as_of, loads, limits)
    names = pc.binary_join_element_wise(profiles["contract"], profiles["metric"], ".")
    shared = profiles.filter(pc.is_in(names, pa.array([*SHARED_WITH, "events.independent_rows"])))
    others = [
        _Platform.of(shared, name, as_of, loads, limits)
        for name in sorted({*profiles["platform"].unique().to_pylist()} - {platform})
    ]
    found = [
        finding
        for metric in METRICS
        for finding in _compare(mine, others, metric, limits, bounds.get(metric.name, 1.0))
    ]
    return sorted(found, key=lambda finding: (-finding.stop, -finding.warn, finding.metric, finding.text))


@dataclass(frozen=True)
class _Counts:
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

    def with_quiet_days(self, days: Sequence[date]) -> _Counts:
        """With the days between that brought no row: all of what was known is `(kept)` then."""
        known = float(np.median(self.amounts.sum(axis=1)))
        quiet = [day for day in days if day >= self.days[0] and day not in {*self.days}]
        rows = np.where(np.array(self.buckets) == "(kept)", known, 0.0)
        order = np.argsort([*self.days, *quiet])
        amounts = np.concatenate([self.amounts, np.tile(rows, (len(quiet), 1))])
        every = [*self.days, *quiet]
        return _Counts(tuple(every[each] for each in order), self.buckets, amounts[order])

    def with_buckets(self, buckets: Sequence[str]) -> Floats:
        """Amounts by day, in the order of ``buckets``."""
        return np.stack([self.of(bucket) for bucket in buckets], axis=1)


def _by_metric(rows: pa.Table) -> dict[str, _Counts]:
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
        found[name] = _Counts(
            tuple(of_days.astype(object)), tuple(labels[position] for position in order), table[:, order]
        )
    return found


def _in_all(counts: Mapping[str, _Counts]) -> dict[str, dict[str, float]]:
    """The amount of each bucket over all days, by metric."""
    return {
        name: dict(zip(each.buckets, each.amounts.sum(axis=0).tolist(), strict=True)) for name, each in counts.items()
    }


@dataclass(frozen=True)
class _Platform:
    """Counts of one platform: of tonight's load, and of the good days before."""

    as_of: date
    covered: Mapping[str, int]  # nights since the load before, by contract
    first_loads: frozenset[str]  # contracts whose first load this is
    tonight: Mapping[str, Mapping[str, float]]  # amount by bucket
    whole: Mapping[str, Mapping[str, float]]  # the same over the whole load, which differs for a first load
    past: Mapping[str, _Counts]
    days: Mapping[str, Sequence[date]]  # good days of a contract, with those that brought nothing
    repetition: float  # events that say as much as one independent event

    @classmethod
    def of(cls, profiles: pa.Table, platform: str, as_of: date, loads: Loads, limits: Limits) -> _Platform:
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


def _repetition(past: Mapping[str, _Counts]) -> float:
    """Events of one account resemble each other: the median day has this many events to an independent one (Kish 1965)."""
    rows, independent = past.get("events.rows"), past.get("events.independent_rows")
    if rows is None or independent is None:
        return 1.0
    return max(1.0, float(np.median(rows.of("all") / np.maximum(1.0, independent.on(rows.days, "all")))))


def _compare(
    mine: _Platform, others: Sequence[_Platform], metric: Metric, limits: Limits, wider: float
) -> Iterable[Finding]:
    if metric.kind in ("volume", "delay"):
        if (found := _volume(mine, metric)) is not None:
            yield _finding_of_volume(found, _shared(others, metric, found.deviation), metric, limits, wider)
            if metric.name in SHARED_WITH:
                yield from _beside(mine, others, metric, limits, wider)
            if metric.name == "events.rows":
                yield from _level(found, metric, wider)
        return
    compared = _compared(mine, metric)
    if compared is not None and metric.kind == "share":
        yield from _shares(compared, metric, limits, wider)
    elif compared is not None:
        yield from _mix(compared, metric, limits, wider)
    if metric.name == "events.event_type":
        yield from _missing_types(mine, metric, limits, wider)
    if metric.name in (*NONSENSE, *NONSENSE_OF_KNOWN) or metric.name.endswith(".quarantine"):
        yield from _nonsense(mine, metric, limits, wider)


# --- what is usual, and how far is far


@dataclass(frozen=True)
class _Usual:
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
        past = _spread(self.residuals)
        if past <= 0:
            return float("inf")
        farthest = float(np.abs(self.residuals).max()) * self.spread / past
        return 2 * float(np.sqrt(TWICE_AS_FAR_DAYS / self.days)) * farthest

    @property
    def typical(self) -> tuple[float, float]:
        """Where eight of ten days like tonight lie."""
        low, high = self.centre + np.quantile(self.residuals, [0.1, 0.9])
        return float(low), float(high)


def _usual(
    values: Floats, days: Sequence[date], nights: Sequence[date], noise: float, fewer: float, *, trend: bool
) -> _Usual:
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
    spread = np.sqrt(max(_spread(level - base) ** 2 * max(1.0, fewer), noise))
    return _Usual(centre, float(spread), len(values), level - base)


def _spread(residuals: Floats) -> float:
    """A robust standard deviation. The quantiles see a rhythm in a minority of days, which the median deviation does not."""
    low, high = np.quantile(residuals, [0.1, 0.9])
    return float(max(1.4826 * np.median(np.abs(residuals - np.median(residuals))), (high - low) / 2.563))


def _chances(limits: Limits) -> tuple[float, float]:
    """How often chance may warn and stop in one comparison, from how often it may stop in a year."""
    stops = limits.false_stops_per_year / (365 * COMPARISONS)
    return stops * WARNINGS_PER_STOP, stops


def _finding(
    metric: Metric,
    text: str,
    deviation: float,
    usual: _Usual,
    floors: tuple[float, float],
    limits: Limits,
    wider: float,
) -> Finding:
    """``floors`` are those of warn and stop. A young past only warns."""
    warns, stops = (
        deviation / (max(usual.bound(chance), floor * metric.floor) * wider)
        for chance, floor in zip(_chances(limits), floors, strict=True)
    )
    only_warns = metric.warns or usual.days < limits.min_history_days
    return Finding(metric.name, metric.family, text, 0.0 if only_warns else float(stops), float(max(warns, stops)))


# --- volumes and delays


@dataclass(frozen=True)
class _Volume:
    amount: float
    deviation: float  # of its logarithm
    usual: _Usual
    offset: float  # added before the logarithm is taken


def _volume(of: _Platform, metric: Metric) -> _Volume | None:
    contract = metric.name.partition(".")[0]
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
    usual = _usual(np.log(amounts + offset), days, nights, noise, 1.0, trend=not is_delay)
    return _Volume(amount, float(np.log(amount + offset)) - usual.centre, usual, offset)


def _shared(others: Sequence[_Platform], metric: Metric, deviation: float) -> float:
    """The part of a deviation that all other platforms have too: a holiday is quiet everywhere. Zero unless all agree."""
    if metric.name not in SHARED_WITH:
        return 0.0
    found = [volume.deviation for other in others if (volume := _volume(other, metric)) is not None]
    if not found or any(np.sign(each) != np.sign(deviation) for each in found):
        return 0.0
    return float(np.sign(deviation)) * min(float(np.log(SHARED_FACTOR)), *(abs(each) for each in found))


def _finding_of_volume(found: _Volume, shared: float, metric: Metric, limits: Limits, wider: float) -> Finding:
    low, high = (max(0.0, float(np.exp(end)) - found.offset) for end in found.usual.typical)
    deviation = found.deviation - shared
    if metric.kind == "delay":
        text = f"{metric.words} {found.amount / 60:,.1f}, usual {low / 60:,.1f} to {high / 60:,.1f}"
        usually = float(np.exp(found.usual.centre))
        floors = (float(np.log1p(WARN_DELAY / usually)), float(np.log1p(STOP_DELAY / usually)))
        return _finding(metric, text, max(0.0, deviation), found.usual, floors, limits, wider)
    text = f"{metric.words} {found.amount:,.0f}, usual {low:,.0f} to {high:,.0f}"
    floors = (float(np.log(WARN_FACTOR)), float(np.log(STOP_FACTOR)))
    deviation = max(0.0, deviation) if metric.rises else abs(deviation)
    return _finding(metric, text, deviation, found.usual, floors, limits, wider)


def _beside(
    mine: _Platform, others: Sequence[_Platform], metric: Metric, limits: Limits, wider: float
) -> Iterable[Finding]:
    """The volume beside that of each other platform: what moves all of them does not hide what happens to one.

    It has to be far from usual beside every one of at least two others; otherwise the other one may be what is wrong.
    """
    found = [each for other in others if (each := _ratio(mine, other, metric, limits, wider)) is not None]
    if len(found) > 1:
        yield min(found, key=lambda finding: (finding.stop, finding.warn))


def _ratio(mine: _Platform, other: _Platform, metric: Metric, limits: Limits, wider: float) -> Finding | None:
    """None where a platform has no load tonight, or where the two have too few days in common."""
    contract = metric.name.partition(".")[0]
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
    usual = _usual(values, days, nights, 0.0, 1.0, trend=True)  # the same people may be on both: no sampling of its own
    deviation = float(np.log(amounts[0] + 0.5) - np.log(amounts[1] + 0.5)) - usual.centre
    text = f"{metric.words} {np.exp(deviation):.0%} of what those of other platforms promise"
    return _finding(
        metric, text, abs(deviation), usual, (float(np.log(WARN_FACTOR)), float(np.log(STOP_FACTOR))), limits, wider
    )


def _level(found: _Volume, metric: Metric, wider: float) -> Iterable[Finding]:
    """Whether the last seven nights together are below the weeks before: a slow decline that no single night shows."""
    residuals = np.append(found.usual.residuals, found.deviation)
    if len(residuals) < WEEKDAY_DAYS + 7:
        return
    last, before = residuals[-7:], residuals[:-7]
    fall = float(np.median(before)) - float(np.mean(last))
    bound = max(float(np.log(WARN_FACTOR)), 3 * _spread(before) / np.sqrt(7)) * wider
    text = f"{metric.words} {np.exp(-fall):.0%} of what the weeks before promised, in the last seven nights together"
    yield Finding(metric.name, metric.family, text, 0.0, float(fall / bound))


def _missing_types(of: _Platform, metric: Metric, limits: Limits, wider: float) -> Iterable[Finding]:
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
        usual = _usual(np.log(amounts + 0.5), days, nights, 1 / (expected * len(nights)), 1.0, trend=True)
        low, high = (float(np.exp(end)) for end in usual.typical)
        text = f"events of type {bucket} {amount:,.0f}, usual {low:,.0f} to {high:,.0f}"
        fall = max(0.0, usual.centre - float(np.log(amount + 0.5)))
        # half of a type belongs to a quiet night, which is judged elsewhere; this is about a type that is nearly gone
        floors = (float(np.log(WARN_TYPE_FACTOR)), float(np.log(STOP_TYPE_FACTOR)))
        yield _finding(metric, text, fall, usual, floors, limits, wider)


# --- shares


@dataclass(frozen=True)
class _Compared:
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


def _compared(of: _Platform, metric: Metric) -> _Compared | None:
    """None where the night has no load, where its load has no such row, or where the past is too short."""
    contract = metric.name.partition(".")[0]
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
    return _Compared(buckets, amounts, past.with_buckets(buckets), past.days, nights)


def _shares(compared: _Compared, metric: Metric, limits: Limits, wider: float) -> Iterable[Finding]:
    wanted = [metric.bucket] if metric.bucket else [bucket for bucket in compared.buckets if bucket != "(kept)"]
    for bucket in wanted:
        if bucket in compared.buckets:
            words = metric.words if metric.bucket else f"{metric.words}: {bucket}"
            yield _share(compared, metric, words, *compared.at(bucket), limits, wider)


def _angle(part: Floats, whole: Floats) -> Floats:
    """A share on Cohen's scale, 0 to pi, where its sampling variance is 1/n whatever the share is."""
    angle: Floats = 2 * np.arcsin(np.sqrt(np.clip(part / np.maximum(whole, 1.0), 0.0, 1.0)))
    return angle


def _share(
    compared: _Compared,
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
        usual = _Usual(pooled, float(np.sqrt(between + noise)), len(values), np.zeros(len(values)))
    else:
        usual = _usual(values, compared.days, compared.nights, noise, usually / whole, trend=False)
    deviation = float(_angle(np.array([part]), np.array([whole]))[0]) - usual.centre
    low, high = (float(np.sin(np.clip(end, 0, np.pi) / 2) ** 2) for end in usual.typical)
    text = f"{words} {part / whole:.1%} of {whole:,.0f}, usual {low:.1%} to {high:.1%}"
    deviation = max(0.0, deviation) if metric.rises or rises else abs(deviation)
    return _finding(metric, text, deviation, usual, (WARN_H, STOP_H), limits, wider)


def _nonsense(of: _Platform, metric: Metric, limits: Limits, wider: float) -> Iterable[Finding]:
    """Too much of the load is of no use. That stops without any past, unless a long past says that it is always so."""
    from scipy.stats import beta

    if metric.of_known:
        at_most = limits.max_changed
    else:
        at_most = limits.max_quarantine if metric.name.endswith(".quarantine") else limits.max_unknown
    contract = metric.name.partition(".")[0]
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


# --- mixes


def _mix(compared: _Compared, metric: Metric, limits: Limits, wider: float) -> Iterable[Finding]:
    """Three comparisons: the share of buckets never seen, the share without a value, the distance of all together."""
    pooled = compared.past.sum(axis=0)
    elsewhere = pooled - compared.past  # what the other days have
    unseen = np.where(elsewhere > 0, 0.0, compared.past).sum(axis=1)
    new = float(compared.tonight[pooled <= 0].sum())
    if metric.unseen:
        yield _share(compared, metric, f"{metric.words}: never seen", new, unseen, limits, wider, rises=True)
    if "(none)" in compared.buckets:
        yield _share(compared, metric, f"{metric.words}: none", *compared.at("(none)"), limits, wider)
    yield from _distance(compared, metric, elsewhere, limits, wider)


def _distance(
    compared: _Compared, metric: Metric, elsewhere: Floats, limits: Limits, wider: float
) -> Iterable[Finding]:
    """How far tonight is from all past days, beside how far each day is from the others.

    A small sample is far from anything: what chance explains is taken off.
    """
    from scipy.spatial.distance import jensenshannon
    from scipy.stats import chi2

    comparable = elsewhere.sum(axis=1) > 0
    if comparable.sum() < FEWEST_DAYS:
        return
    past, pooled, tonight = compared.past[comparable], compared.past.sum(axis=0), compared.tonight
    shares = pooled / pooled.sum()
    sizes, size = past.sum(axis=1), float(tonight.sum())
    fewer = max(1.0, float(np.sqrt(np.median(sizes) / size)))
    divergences = np.asarray(jensenshannon(past, elsewhere[comparable], axis=1)) ** 2
    by_chance = np.array([_divergence_by_chance(shares, each) for each in sizes])
    left = np.maximum(0.0, divergences - by_chance)
    distances = _without_end(left)
    centre = float(np.median(distances))
    usual = _Usual(centre, _spread(distances), len(distances), distances - centre)

    expected = _divergence_by_chance((pooled + tonight) / (pooled + tonight).sum(), size)
    divergence = float(jensenshannon(tonight, pooled)) ** 2
    distance, whole_distance = _without_end(np.array([max(0.0, divergence - expected), divergence]))
    degrees, reached = max(1.0, 8 * size * expected), []
    information = _information(tonight, pooled)
    for chance, floor in zip(_chances(limits), (WARN_DISTANCE, STOP_DISTANCE), strict=True):
        sampled = float(chi2.isf(chance, degrees)) / (8 * size)
        bound = float(np.sqrt(((centre + usual.bound(chance)) * fewer) ** 2 + sampled))
        reached.append(
            min(
                information / -float(np.log(chance)),
            )
        )
    warns, stops = (float(each) for each in reached)

    moved = int(np.argmax(np.abs(tonight / tonight.sum() - shares)))
    what = compared.buckets[moved] if metric.named else "one of them"
    found, usually = np.sqrt(max(0.0, divergence - expected)), np.sqrt(np.quantile(left, 0.9))
    text = (
        f"{metric.words} differ by {found:.2f}, usual up to {usually:.2f}; most: {what}"
        f" {tonight[moved] / tonight.sum():.1%}, usual {shares[moved]:.1%}"
    )
    young = len(distances) < limits.min_history_days
    yield Finding(metric.name, metric.family, text, 0.0 if young else stops, max(warns, stops))


def _information(tonight: Floats, pooled: Floats) -> float:
    """How unlikely it is to draw tonight's rows from what is usual, in nats (Sanov 1957): a handful of rows proves nothing."""
    from scipy.special import rel_entr

    usual = (pooled + 0.5) / (pooled + 0.5).sum()
    return float(tonight.sum() * rel_entr(tonight / tonight.sum(), usual).sum())


def _without_end(divergences: Floats) -> Floats:
    """The root of Jensen-Shannon divergences, on a scale that two mixes without a common bucket reach only at infinity.

    The root itself ends at .83, where learned bounds may lie. What is small stays as it is.
    """
    most = float(np.log(2))
    with np.errstate(divide="ignore"):
        stretched: Floats = np.sqrt(-most * np.log1p(-np.minimum(divergences / most, 1.0)))
    return stretched


def _divergence_by_chance(shares: Floats, size: float) -> float:
    """The Jensen-Shannon divergence that a sample of ``size`` has by chance: 1/(8n) a bucket, less for the rarest ones.

    A bucket of which the sample has hardly a row adds at most ln 2 times its share.
    """
    size = max(size, 1e-9)
    buckets = float(np.minimum(1.0, 8 * np.log(2) * size * shares).sum())
    return max(0.0, buckets - 1) / (8 * size)


# --- the gate


FAMILIES: dict[Family, tuple[str, str, str]] = {
    "volume": (
        "as much as usual on such a weekday",
        "a fall is a broken or late feed, a rise a replay or robots; either changes what is popular",
        "compare with the source's own count; a load that is late or cut off comes whole in the next night",
    ),
    "quarantine": (
        "no more in quarantine than usual, by reason",
        "rows in quarantine teach nothing; many of one reason mean that a column was renamed, retyped or rescaled",
        "look into the quarantine of this load (docs/runbook.md), then mend the source or its staging model",
    ),
    "references": (
        "events of known accounts and items, with ids as they are usually written",
        "an event whose account or item is unknown counts for nobody; ids written otherwise split a person in two",
        "compare ids in the events with those in the accounts and items: case, blanks, leading zeros, '.0', another platform's",
    ),
    "repeats": (
        "no more repeated rows than usual",
        "what comes twice counts twice; under new ids nobody else notices",
        "ask for a replay, a second export or a restored backup at the source; discard the copies there",
    ),
    "values": (
        "types, values, devices and categories of events as usual",
        "a column that is empty, constant, rescaled, flipped or recoded teaches the model the wrong thing",
        "compare the named column in the source with last week's, then the staging model that maps it",
    ),
    "times": (
        "hours and ages of events as usual",
        "a wrong zone, clock or unit moves events between days and weeks, and with them labels and trends",
        "compare the newest events' times with the clock; see `timezone` in the declaration and the staging model",
    ),
    "behaviour": (
        "accounts that behave as usual",
        "robots, sign-up waves and events on the wrong account decide what is popular and what people like",
        "look at the accounts and items with most events tonight, and at how events find their account",
    ),
    "accounts": (
        "new, changed and deleted accounts as usual",
        "wrong segments or addresses link strangers; accounts that vanish get no list",
        "compare the account table with last week's: empty, constant, recoded or shuffled columns, deletions",
    ),
    "catalogue": (
        "new, changed and withdrawn items as usual",
        "items that vanish, or have another's title, price or category, are recommended wrongly or not at all",
        "compare the item table with last week's: empty, constant, recoded or shuffled columns, units of price",
    ),
}
MORE_ROOM = "If it is right, and will stay so, widen the bound of the named metric in {declaration}: `gate_bounds: {{<metric>: 3.0}}`"


def frame(findings: Sequence[Finding]) -> pa.Table:
    """The frame that `suite` checks: one row per comparison, with a column per family and severity.

    A column has the words of a comparison beyond its bound, and null everywhere else.
    """
    columns: dict[str, list[str | None]] = {"metric": [finding.metric for finding in findings]}
    for family in FAMILIES:
        columns[f"{family}_stop"] = [
            finding.text if finding.family == family and finding.stop > 1 else None for finding in findings
        ]
        columns[f"{family}_warn"] = [
            finding.text if finding.family == family and finding.warn > 1 and finding.stop <= 1 else None
            for finding in findings
        ]
    return pa.table(columns, schema=pa.schema([(name, pa.string()) for name in columns]))


def suite(platform: str) -> gx.ExpectationSuite:
    """Rules over `frame`: nothing beyond what the platform's own past allows."""
    import great_expectations as gx
    import great_expectations.expectations as gxe

    declaration = f"dbt_project/models/staging/{platform}/_{platform}__sources.yml"
    room = MORE_ROOM.format(declaration=declaration)
    return gx.ExpectationSuite(
        name="contents",
        meta={"named_by": "metric"},
        expectations=[
            gxe.ExpectColumnValuesToBeNull(
                column=f"{family}_{name}",
                **severity(f"{what}{room_for}", why=why, remedy=f"{remedy}. {room}"),
            )
            for name, severity, room_for in (("stop", stop, ""), ("warn", warn, ", without any doubt"))
            for family, (what, why, remedy) in FAMILIES.items()
        ],
    )
