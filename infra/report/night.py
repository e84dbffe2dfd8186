"""Everything about one night that a person wants to read, and what can be concluded from it."""

from __future__ import annotations

from datetime import date, datetime
from math import isfinite

from expectations.gate import GateResult, Verdict
from infra.report.facts import (
    ComparedPair,
    ConservationLine,
    DiversityPrice,
    ExamplePerson,
    Facts,
    Gap,
    IdentityChange,
    JudgedSource,
    LinkedFrom,
    Links,
    Metric,
    MetricPoint,
    ObjectiveMetric,
    OffPolicy,
    PlatformFunnel,
    Totals,
)
from infra.report.names import (
    COHORT_CONTENDERS,
    COHORT_METRICS,
    LEARNED,
    LOWER_IS_BETTER,
    METRIC_NAMES,
    SMALLEST_GROUP,
    STAGES,
    UNRANKED,
    contender_name,
    metric_name,
)


class NightSummary(Facts):
    """Everything about one night that a person wants to read."""

    as_of: date
    run_id: str
    started: datetime | None = None
    seconds: float | None = None
    funnel: tuple[PlatformFunnel, ...] = ()
    conservation: tuple[ConservationLine, ...] = ()
    totals: Totals = Totals()
    gates: tuple[GateResult, ...] = ()
    metrics: tuple[Metric, ...] = ()
    history: tuple[MetricPoint, ...] = ()
    transfers: tuple[JudgedSource, ...] = ()
    objectives: tuple[ObjectiveMetric, ...] = ()
    diversity: tuple[DiversityPrice, ...] = ()
    off_policy: OffPolicy | None = None
    promotion: str = ""
    model_version: str | None = None
    people: tuple[ExamplePerson, ...] = ()
    compared: tuple[ComparedPair, ...] = ()
    interests_alone: tuple[LinkedFrom, ...] = ()
    behaviour_threshold: float | None = None
    identity_changes: tuple[IdentityChange, ...] = ()
    links: Links = Links()

    @property
    def verdict(self) -> Verdict:
        """Of the whole night: one that holds a load goes on, and is yellow."""
        verdicts = {gate.verdict for gate in self.gates}
        yellow = self.notices or verdicts & {"warn", "hold"}
        return "stop" if "stop" in verdicts else "warn" if yellow else "pass"

    @property
    def notices(self) -> tuple[str, ...]:
        """What a reader must know first: which platforms go on with older data, and why."""
        return tuple(platform.notice for platform in self.funnel if platform.notice)

    def chains(self) -> dict[str, list[Chain]]:
        """The conservation table by platform: a chain for each table and load, its lines from loaded rows to lists."""
        found: dict[str, dict[tuple[bool, str, int, str], list[ConservationLine]]] = {}
        for line in self.conservation:
            key = line.stage in OF_LISTS, line.table, *self._load(line)
            found.setdefault(line.platform, {}).setdefault(key, []).append(line)
        return {
            platform: [
                Chain(table=table, load=load, lines=sorted(lines, key=_place))
                for (_, table, _, load), lines in sorted(chains.items())
            ]
            for platform, chains in sorted(found.items())
        }

    def _load(self, line: ConservationLine) -> tuple[int, str]:
        """The load of a line in words, and where it stands among those of its table."""
        if line.load_date is not None:
            return (0, "tonight") if line.load_date == self.as_of else (1, f"load of {line.load_date}")
        return (2, "earlier loads") if line.earlier_loads else (3, "all loads")

    def metric_names(self) -> list[str]:
        """Metrics in the order of METRIC_NAMES, any others after them in order of appearance."""
        seen = dict.fromkeys(metric.metric for metric in self.metrics)
        return [name for name in METRIC_NAMES if name in seen] + [name for name in seen if name not in METRIC_NAMES]

    def contenders(self) -> list[str]:
        """Contenders in order of appearance, the learned ones first."""
        seen = dict.fromkeys(metric.contender for metric in self.metrics)
        return [name for name in LEARNED if name in seen] + [name for name in seen if name not in LEARNED]

    def platforms_measured(self) -> list[str]:
        """'all', then each platform in order of appearance."""
        seen = dict.fromkeys(metric.platform for metric in self.metrics)
        return [name for name in ("all",) if name in seen] + [name for name in seen if name != "all"]

    def standing(self, metric: str, platform: str = "all") -> Standing:
        """Who is best at a metric on a platform, and who cannot be told from it (nobody where more is no better)."""
        rows = [row for row in self.metrics if (row.metric, row.platform, row.cohort) == (metric, platform, "all")]
        own = {row.contender: row for row in rows if row.against is None}
        measured = [row for row in own.values() if isfinite(row.value)]
        if not measured or metric in UNRANKED:
            return Standing(rows=own)
        best = (min if metric in LOWER_IS_BETTER else max)(measured, key=lambda row: row.value)
        differences = {row.contender: row for row in rows if row.against == best.contender}
        tied = {name for name, row in own.items() if row is not best and _tied(row, best, differences.get(name))}
        return Standing(rows=own, best=best.contender, tied=frozenset(tied))

    def by_cohort(self, metric: str) -> dict[str, dict[str, Metric]]:
        """Each cohort's own values by contender, cohorts in order of appearance."""
        found: dict[str, dict[str, Metric]] = {}
        for row in self.metrics:
            shown = row.contender in COHORT_CONTENDERS and row.metric == metric
            if shown and row.against is None and row.cohort != "all":
                found.setdefault(row.cohort, {})[row.contender] = row
        return found

    def by_objective(self, metric: str) -> dict[str, dict[str, ObjectiveMetric]]:
        """Each objective's own values by contender, objectives in order of appearance."""
        found: dict[str, dict[str, ObjectiveMetric]] = {}
        for row in self.objectives:
            if row.contender in COHORT_CONTENDERS and row.metric == metric and row.against is None:
                found.setdefault(row.objective, {})[row.contender] = row
        return found

    def gaps(self, metric: str = COHORT_METRICS[0]) -> dict[str, dict[str, Gap]]:
        """By respect ("activity" of "activity: new") and contender: how much worse the worst group fares than the best.

        Groups of fewer than `SMALLEST_GROUP` people do not count, and one group alone has no gap.
        """
        groups: dict[tuple[str, str], list[tuple[float, str]]] = {}
        for cohort, rows in self.by_cohort(metric).items():
            respect, _, group = cohort.partition(": ")
            for contender, row in rows.items():
                if row.people >= SMALLEST_GROUP and isfinite(row.value):
                    groups.setdefault((respect, contender), []).append((row.value, group))
        found: dict[str, dict[str, Gap]] = {}
        for (respect, contender), values in groups.items():
            if len(values) > 1:
                (high, best), (low, worst) = max(values), min(values)
                found.setdefault(respect, {})[contender] = Gap(value=high - low, best=best, worst=worst)
        return found

    def model_against_baselines(self) -> str:
        """One honest sentence: does the model earn its keep on the leading metric, over all platforms?"""
        if not self.metric_names():
            return ""
        leading = self.metric_names()[0]
        rows = [row for row in self.metrics if (row.metric, row.platform, row.cohort) == (leading, "all", "all")]
        own = sorted((row for row in rows if row.against is None and isfinite(row.value)), key=lambda row: row.value)
        best_first = own if leading in LOWER_IS_BETTER else own[::-1]
        model = next((row for row in best_first if row.contender in LEARNED), None)
        baseline = next((row for row in best_first if row.contender not in LEARNED), None)
        if model is None or baseline is None:
            return ""
        paired = [row for row in rows if (row.contender, row.against) == (model.contender, baseline.contender)]
        what = f"{metric_name(leading)} of the best baseline ({contender_name(baseline.contender)})"
        measured = f"{model.value:.4f} against {baseline.value:.4f}"
        if _tied(model, baseline, paired[0] if paired else None):
            return f"The model cannot be told from the {what}: {measured}."
        if best_first.index(model) < best_first.index(baseline):
            return f"The model beats the {what}: {measured}."
        return f"The model falls short of the {what}: {measured}. It does not earn its keep yet."

    def what_interests_tell(self) -> str:
        """One sentence on linking by interests alone: where it happens, or would be most precise, and how good that is."""
        if not self.interests_alone:
            return ""
        limit, setting = self.behaviour_threshold, "`CROSSREC_BEHAVIOUR_THRESHOLD`"
        if limit is None:
            shown = max(self.interests_alone, key=lambda point: (point.precision, point.recall))
            what = f"Interests alone link nobody, for {setting} is off, the default: at their most precise, from a cosine of"
        else:
            shown = min(self.interests_alone, key=lambda point: abs(point.threshold - limit))
            what = f"Interests alone link from a cosine of {limit:.2f} on ({setting}): as measured from"
        return (
            f"{what} {shown.threshold:.2f} on, {shown.precision:.1%} of the pairs would be one person (precision), and "
            f"{shown.recall:.1%} of the pairs of one person would be found (recall)."
        )


OF_LISTS = STAGES[STAGES.index("accounts") :]


class Chain(Facts):
    """The lines of one table and load, in the order in which rows pass them. `load` says which load, in words."""

    table: str
    load: str
    lines: tuple[ConservationLine, ...]


def _place(line: ConservationLine) -> int:
    return STAGES.index(line.stage) if line.stage in STAGES else -1


class Standing(Facts):
    """The contenders of one metric: the best one, and those that cannot be told from it."""

    rows: dict[str, Metric]
    best: str | None = None
    tied: frozenset[str] = frozenset()


def _tied(one: Metric, other: Metric, difference: Metric | None) -> bool:
    """Whether the paired difference may be zero or, without one, the two intervals overlap."""
    if difference is not None and difference.low is not None and difference.high is not None:
        return difference.low <= 0 <= difference.high
    if one.low is None or one.high is None or other.low is None or other.high is None:
        return False
    return one.low <= other.high and other.low <= one.high
