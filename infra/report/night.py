"""The facts of one night, as the terminal summary and the page show them; plain data, made from plain data."""

from __future__ import annotations

from datetime import date, datetime
from math import isfinite
from typing import Literal

from pydantic import BaseModel, ConfigDict

Verdict = Literal["pass", "warn", "stop"]

LEARNED = ("challenger", "champion")
LOWER_IS_BETTER = frozenset({"log_loss"})
UNRANKED = frozenset({"coverage"})
METRIC_NAMES = {
    "ndcg_at_10": "NDCG@10",
    "recall_at_20": "Recall@20",
    "mrr": "MRR",
    "auc": "AUC",
    "log_loss": "Log loss",
    "coverage": "Coverage",
}
METRIC_HELP = {
    "ndcg_at_10": "How well the first ten items of a list hold what the person then chose, the top ones counting most. "
    "1 is perfect.",
    "recall_at_20": "Share of what a person then chose that stood in their list of twenty.",
    "mrr": "One divided by the rank of the first item that the person then chose. 1 is: always the first.",
    "auc": "How often an item that was chosen scores above one that was not. 0.5 is a coin toss.",
    "log_loss": "How far the predicted probabilities are from what happened. Lower is better.",
    "coverage": "Share of the catalogue that stands in somebody's list. High or low is neither good nor bad by itself.",
}
CONTENDER_NAMES = {
    "challenger": "Tonight's model",
    "champion": "Serving model",
    "popularity": "Popularity",
    "item_neighbours": "Item neighbours",
}
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
    metric: str
    value: float
    low: float | None = None
    high: float | None = None


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
    score: float
    strategy: str = "personalised"
    category: str | None = None


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
    promotion: str = ""
    model_version: str | None = None
    people: tuple[ExamplePerson, ...] = ()
    compared: tuple[ComparedPair, ...] = ()
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
        rows = [row for row in self.metrics if (row.metric, row.platform) == (metric, platform)]
        own = {row.contender: row for row in rows if row.against is None}
        measured = [row for row in own.values() if isfinite(row.value)]
        if not measured or metric in UNRANKED:
            return Standing(rows=own)
        best = (min if metric in LOWER_IS_BETTER else max)(measured, key=lambda row: row.value)
        differences = {row.contender: row for row in rows if row.against == best.contender}
        tied = {name for name, row in own.items() if row is not best and _tied(row, best, differences.get(name))}
        return Standing(rows=own, best=best.contender, tied=frozenset(tied))

    def model_against_baselines(self) -> str:
        """One honest sentence: does the model earn its keep on the leading metric, over all platforms?"""
        if not self.metric_names():
            return ""
        leading = self.metric_names()[0]
        rows = [row for row in self.metrics if (row.metric, row.platform) == (leading, "all")]
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
