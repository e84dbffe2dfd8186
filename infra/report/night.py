"""The facts of one night, as the terminal summary and the page show them; plain data, made from plain data."""

from __future__ import annotations

from datetime import date, datetime
from math import isfinite
from typing import Literal

from pydantic import BaseModel, ConfigDict

Verdict = Literal["pass", "warn", "stop"]

LEARNED = ("challenger", "champion")
LOWER_IS_BETTER = frozenset({"log_loss", "calibration_error"})
UNRANKED = frozenset({"coverage", "novelty", "intra_list_diversity", "popularity_lift"})
METRIC_NAMES = {
    "ndcg_at_10": "NDCG@10",
    "recall_at_20": "Recall@20",
    "new_item_recall_at_20": "New item recall@20",
    "mrr": "MRR",
    "precision_at_10": "Precision@10",
    "f1_at_10": "F1@10",
    "map_at_10": "MAP@10",
    "auc": "AUC",
    "log_loss": "Log loss",
    "calibration_error": "Calibration error",
    "coverage": "Coverage",
    "novelty": "Novelty",
    "intra_list_diversity": "Intra-list diversity",
    "popularity_lift": "Popularity lift",
}
# the others stand among the numbers: more panels would be read by nobody
CHARTED = ("ndcg_at_10", "recall_at_20", "mrr", "auc", "log_loss", "coverage")
METRIC_HELP = {
    "ndcg_at_10": "How well the first ten items of a list hold what the person then chose, the top ones counting most. "
    "1 is perfect.",
    "recall_at_20": "Share of what a person then chose that stood in their list of twenty.",
    "new_item_recall_at_20": "The same share of items new on offer alone, over people who chose any of them: mostly few.",
    "mrr": "One divided by the rank of the first item that the person then chose. 1 is: always the first.",
    "precision_at_10": "Share of the first ten that the person then chose.",
    "f1_at_10": "The harmonic mean of precision and recall of the first ten.",
    "map_at_10": "Precision at the rank of each hit among the first ten, averaged over what there was to find.",
    "auc": "How often an item that was chosen scores above one that was not. 0.5 is a coin toss.",
    "log_loss": "How far the predicted probabilities are from what happened. Lower is better.",
    "calibration_error": "How far the predicted probabilities are from the share that was chosen, in ten equal groups.",
    "coverage": "Share of the catalogue that stands in somebody's list. High or low is neither good nor bad by itself.",
    "novelty": "How rare the first ten are, in bits: one more for items half as often taken. Neither good nor bad by itself.",
    "intra_list_diversity": "Share of the pairs among the first ten whose categories differ. Neither good nor bad by itself.",
    "popularity_lift": "How much more popular the first ten are than what people chose: 0 is as popular, 1 twice as popular.",
}
COHORT_METRICS = ("ndcg_at_10", "recall_at_20")
COHORT_CONTENDERS = (*LEARNED, "popularity")
# what a smaller group shows is mostly chance, and of a very small one it is about somebody
SMALLEST_GROUP = 30
CONTENDER_NAMES = {
    "challenger": "Tonight's model",
    "champion": "Serving model",
    "popularity": "Popularity",
    "ease": "EASE",
    "item_neighbours": "Item neighbours",
    "als": "ALS",
    "bpr": "BPR",
}
# a normal interval of fewer takes than this is narrower than it should be
ENOUGH_TAKEN = 30
ESTIMATORS = {"ips": "IPS", "snips": "self-normalised IPS", "doubly_robust": "doubly robust"}
FUNNEL_STAGES = {
    "raw_rows": "rows read",
    "duplicate_rows": "  repeated",
    "quarantined_rows": "  in quarantine",
    "staged_rows": "rows understood",
    "accounts": "accounts",
    "persons": "people",
    "items": "items",
    "interactions": "interactions",
    "candidates": "candidates",
    "lists": "lists made",
    "written_back": "lists written back",
}


class Facts(BaseModel):
    """Base of all below: immutable; what a caller's dict has beyond the fields is ignored."""

    model_config = ConfigDict(frozen=True, extra="ignore", ser_json_inf_nan="constants")


class PlatformFunnel(Facts):
    """How much of one platform came in, was understood and went out. None: not counted, because the night stopped."""

    platform: str
    raw_rows: int | None = None
    staged_rows: int | None = None
    duplicate_rows: int | None = None
    quarantined_rows: int | None = None
    accounts: int | None = None
    items: int | None = None
    persons: int | None = None
    interactions: int | None = None
    candidates: int | None = None
    lists: int | None = None
    written_back: int | None = None
    stale_days: int = 0


class Totals(Facts):
    """What exists once over all platforms."""

    persons: int | None = None
    multi_platform_persons: int | None = None
    products: int | None = None


class Check(Facts):
    description: str
    severity: Literal["stop", "warn"]
    success: bool
    observed: str = ""
    why: str = ""
    remedy: str = ""


class Gate(Facts):
    """One gate's result; its fields are those of a dumped `expectations.gate.GateResult`."""

    gate: str
    platform: str | None = None
    verdict: Verdict
    checks: tuple[Check, ...] = ()

    @property
    def held(self) -> list[Check]:
        return [check for check in self.checks if check.success]

    @property
    def failed(self) -> list[Check]:
        return sorted((check for check in self.checks if not check.success), key=lambda check: check.severity)


class Metric(Facts):
    """One metric of one contender on the held-out snapshot; low and high bound its bootstrap interval.

    With ``against`` the value is the paired difference to that contender instead.
    """

    contender: str
    against: str | None = None
    platform: str = "all"
    cohort: str = "all"
    metric: str
    value: float
    low: float | None = None
    high: float | None = None
    people: int = 0


class ObjectiveMetric(Metric):
    """The same where only what counts for one objective is found."""

    objective: str


class Gap(Facts):
    """Between the groups of people that one contender serves best and worst, of those that differ in one respect."""

    value: float
    best: str
    worst: str


class Transfer(Facts):
    """What a platform's histories are worth to the lists of another, over the ``people`` who have both.

    NDCG@10 by EASE alone with that source and without it; ``gain`` is their difference, within gain_low and gain_high.
    """

    source: str
    target: str
    people: int
    with_source: float
    without: float
    gain: float
    gain_low: float
    gain_high: float
    verdict: str


class DiversityPrice(Facts):
    """What the model's lists of the held-out snapshot would be at one strength of diversity.

    ``ndcg_change`` is the paired difference in NDCG@10 to lists by relevance alone, within low and high in 95 of 100 cases.
    """

    strength: float
    ndcg_at_10: float
    ndcg_change: float
    ndcg_low: float
    ndcg_high: float
    intra_list_diversity: float
    is_used: bool


class PolicyValue(Facts):
    """Share of the places that explore whose item was taken, as shown ("logged") or as a model would have chosen."""

    policy: str
    estimator: str
    value: float
    low: float
    high: float
    effective_sample_size: float


class OffPolicy(Facts):
    """What the places that explore told, of how many ``lists``; in how many an item from below the list was shown, and
    how many of all items shown there were ``taken``.
    """

    lists: int
    explored: int
    taken: int
    estimates: tuple[PolicyValue, ...] = ()


class MetricPoint(Facts):
    """One contender's metric on an earlier night (or tonight), over all platforms."""

    as_of: date
    contender: str
    metric: str
    value: float


class Account(Facts):
    platform: str
    account_id: str


class Event(Facts):
    """Something an example person did; ``what`` in a word or two, as "rated 4" or "watched"."""

    title: str
    platform: str
    when: date | None = None
    what: str = ""


class Taste(Facts):
    category: str
    share: float


class Recommended(Facts):
    rank: int
    title: str
    score: float | None
    strategy: str = "personalised"
    category: str | None = None
    reason: str | None = None


class PlatformList(Facts):
    platform: str
    items: tuple[Recommended, ...]


class ExamplePerson(Facts):
    """A person to look at: newest events first, taste by descending share."""

    person_id: str
    accounts: tuple[Account, ...] = ()
    events: tuple[Event, ...] = ()
    events_in_all: int | None = None
    taste: tuple[Taste, ...] = ()
    lists: tuple[PlatformList, ...] = ()


class Links(Facts):
    """Where to look further: paths or addresses, shown as text."""

    report: str | None = None
    airflow_log: str | None = None
    mlflow_run: str | None = None


class ComparedPair(Facts):
    """Two accounts or items and what each comparison of them gave or took, in bits; never what was compared."""

    caption: str
    left: str
    right: str
    start: float
    steps: tuple[tuple[str, float], ...] = ()
    weight: float
    probability: float


class LinkedFrom(Facts):
    """What linking by interests alone would give from one cosine on: shares, of the links and of what there is to find."""

    threshold: float
    precision: float
    recall: float


class IdentityChange(Facts):
    """One merge or split of the night."""

    entity: str
    kind: Literal["merge", "split"]
    records: str
    evidence: str


class NightSummary(Facts):
    """Everything about one night that a person wants to read."""

    as_of: date
    run_id: str
    started: datetime | None = None
    seconds: float | None = None
    funnel: tuple[PlatformFunnel, ...] = ()
    totals: Totals = Totals()
    gates: tuple[Gate, ...] = ()
    metrics: tuple[Metric, ...] = ()
    history: tuple[MetricPoint, ...] = ()
    transfers: tuple[Transfer, ...] = ()
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
        verdicts = {gate.verdict for gate in self.gates}
        return "stop" if "stop" in verdicts else "warn" if "warn" in verdicts else "pass"

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


def metric_name(metric: str) -> str:
    return METRIC_NAMES.get(metric, metric)


def contender_name(contender: str) -> str:
    return CONTENDER_NAMES.get(contender, contender.replace("_", " ").capitalize())


def duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def nights(count: int) -> str:
    return "one night" if count == 1 else f"{count} nights"
