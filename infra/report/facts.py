"""The rows of facts that the report shows. Each type is declared here once, and the records of steps are made of them."""

from __future__ import annotations

from datetime import date
from typing import Literal

from pydantic import BaseModel, ConfigDict


class Facts(BaseModel):
    """Base of all below: immutable, and without any field that is not declared."""

    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="constants")


class PlatformFunnel(Facts):
    """How many rows of one platform arrived, were understood, and left as lists. None: not counted, as the night stopped.

    `notice` is the sentence about a platform of which the night has no data of its own; `stale_days` is how old its data are.
    """

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
    notice: str = ""


class ConservationPart(Facts):
    """What some rows of a line became. `rows` is None where nobody counted them."""

    name: str
    rows: int | None


class ConservationLine(Facts):
    """Rows of one platform and table that came to a stage, and what they became.

    `load_date` is the load's night; None for what is counted over all loads, and for `earlier_loads` together.
    """

    platform: str
    table: str
    load_date: date | None = None
    earlier_loads: int = 0
    stage: str
    rows: int | None
    parts: tuple[ConservationPart, ...] = ()

    @property
    def difference(self) -> int | None:
        """Rows that became nothing (negative: rows that came from nowhere); None where a count is missing."""
        became = [part.rows for part in self.parts]
        if self.rows is None or None in became:
            return None
        return self.rows - sum(rows or 0 for rows in became)


class Totals(Facts):
    """What exists once over all platforms."""

    persons: int | None = None
    multi_platform_persons: int | None = None
    products: int | None = None


class Metric(Facts):
    """One metric of one contender on the held-out snapshot. `low` and `high` bound its bootstrap interval.

    With `against`, the value is the paired difference to that contender.
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
    """The same metric, where only the interactions of one objective count as found."""

    objective: str


class Gap(Facts):
    """The difference between the groups of people that one contender serves best and worst."""

    value: float
    best: str
    worst: str


class JudgedSource(Facts):
    """What the histories on platform `source` are worth to the lists of platform `target`, in one cohort of `people`.

    `with_source` and `without` are NDCG@10 of lists by EASE alone. `gain` is their difference. `tells` is by how much a
    person's own history on the source predicts better than a stranger's (AUC). The verdict is that of
    `ml.evaluation.transfer.judge`. A number is None where no list could be measured.
    """

    source: str
    target: str
    cohort: str = "all"
    people: int
    with_source: float | None = None
    without: float | None = None
    gain: float | None = None
    gain_low: float | None = None
    gain_high: float | None = None
    tells: float | None = None
    tells_low: float | None = None
    tells_high: float | None = None
    verdict: str | None = None


class DiversityPrice(Facts):
    """What the model's lists of the held-out snapshot would be at one strength of diversity.

    `ndcg_change` is the paired difference in NDCG@10 to lists by relevance alone. `ndcg_low` and `ndcg_high` bound its
    95% interval.
    """

    strength: float
    ndcg_at_10: float
    ndcg_change: float
    ndcg_low: float
    ndcg_high: float
    intra_list_diversity: float
    is_used: bool


class PolicyValue(Facts):
    """The share of exploration slots whose item got a positive interaction, under one policy and by one estimator.

    Policy "logged" is what was shown. Any other policy is what that model would have shown.
    """

    policy: str
    estimator: str
    value: float
    low: float
    high: float
    effective_sample_size: float


class OffPolicy(Facts):
    """What the exploration slots of `lists` lists tell.

    `explored` counts the slots that showed an item from below the list. `interacted` counts the shown items that got a
    positive interaction.
    """

    lists: int
    explored: int
    interacted: int
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
    """Something an example person did. `what` says it in a word or two, such as "rated 4" or "watched"."""

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
    """A person to look at. The newest events and the largest shares of taste come first."""

    person_id: str
    accounts: tuple[Account, ...] = ()
    events: tuple[Event, ...] = ()
    events_in_all: int | None = None
    taste: tuple[Taste, ...] = ()
    lists: tuple[PlatformList, ...] = ()


class Links(Facts):
    """Where to look further: paths or addresses, shown as text."""

    report: str | None = None
    data_docs: str | None = None  # Great Expectations' site about the gates
    airflow_log: str | None = None
    mlflow_run: str | None = None


class ComparedPair(Facts):
    """Two accounts or items, and how many bits each comparison of them adds or takes off. The compared values are not in it."""

    caption: str
    left: str
    right: str
    start: float
    steps: tuple[tuple[str, float], ...] = ()
    weight: float
    probability: float


class LinkedFrom(Facts):
    """What linking by interests alone would give from one cosine (`threshold`) on. Precision and recall are shares, 0 to 1."""

    threshold: float
    precision: float
    recall: float


class IdentityChange(Facts):
    """One merge or split of the night."""

    entity: str
    kind: Literal["merge", "split"]
    records: str
    evidence: str
