"""The records that a step leaves for a later step, for the report and for later nights.

Each record is a model with a name. `Night.write` keeps it as JSON in the folder of its night, in a file that is called
like the class: `RowCounts` is `row_counts.json`. Where a night has several records of one type, a key tells them apart:
`extracted-shop.json`. Two records are declared elsewhere, because they are more than a record: the result of a gate
(`expectations.gate.GateResult`) and the summary of the night (`infra.report.NightSummary`).
"""

import re
from datetime import date
from typing import TypeVar

from pydantic import BaseModel

from expectations.gate import GateResult
from infra.report.facts import DiversityPrice, Facts, JudgedSource, LinkedFrom, Metric, ObjectiveMetric, OffPolicy
from infra.state import StateError


class RecordError(StateError):
    """A record is missing or has another shape. The message says which one, and what to do."""


class Record(Facts):
    """Base of all records below."""


class Fingerprinted(Record):
    """A record of a result that another night may use again, if its inputs have the same `fingerprint`."""

    fingerprint: str | None = None


AnyRecord = TypeVar("AnyRecord", bound=BaseModel)
AnyFingerprinted = TypeVar("AnyFingerprinted", bound=Fingerprinted)


def file_name(kind: type[BaseModel], key: str = "") -> str:
    name = re.sub(r"(?<!^)(?=[A-Z])", "_", kind.__name__).lower()
    return f"{name}-{key}.json" if key else f"{name}.json"


class Finished(Record):
    """The night ran to its end. `open_night` takes it away, and the last step leaves it again."""

    run_id: str


# --- merge


class LoadedTable(Facts):
    """What was loaded of one table. `stale`: nothing, because of `error` of this table or another of the platform."""

    table: str
    rows: int
    stale: bool
    error: str | None = None


class Extracted(Record):
    """The loads of one platform (the key)."""

    loads: tuple[LoadedTable, ...]


class Delivery(Record):
    """What the night goes on with of one platform (the key): the data of the night `data_of`, tonight or before.

    `is_held`: its load of tonight is held; otherwise it could not be read. `is_frozen`: its data are older than the platform's
    `max_staleness_days`, and its published lists stay as they are. `because` is the first reason.
    """

    data_of: date
    is_held: bool = False
    is_frozen: bool = False
    because: str = ""

    def notice(self, platform: str, as_of: date) -> str:
        """The sentence with which the night of ``as_of`` begins; empty where the platform delivered tonight."""
        if self.data_of == as_of:
            return ""
        does = f"ships data of {self.data_of}"
        if self.is_frozen:
            does = f"keeps its published lists, as its data of {self.data_of} are older than its max_staleness_days"
        what = f"load of {as_of} held" if self.is_held else f"no load of {as_of}"
        because = self.because.partition(". Received: ")[0]  # the whole message stands in the record and the log
        return f"YELLOW: platform '{platform}' {does} ({what}{': ' if because else ''}{because})"


class RowCount(Facts):
    """Rows of one platform and contract: raw_rows = staged_rows + duplicate_rows + quarantined_rows."""

    platform: str
    contract: str
    raw_rows: int
    staged_rows: int
    duplicate_rows: int
    quarantined_rows: int


class RowCounts(Record):
    counts: tuple[RowCount, ...]


class Linked(Record):
    """What linking found: of accounts (key `person`) or of items (key `product`)."""

    records: int
    clusters: int
    on_several_platforms: int  # clusters with records of at least two platforms
    largest: int  # records in the largest cluster
    at_size_cap: int  # clusters of the largest size that is allowed
    links: int  # pairs with at least the probability of the threshold
    expected_precision: float | None  # mean probability of the links; None without any link
    pairs_compared_tonight: int
    model_version: str
    vault_is_open: bool
    decisions: int  # decisions by people that are in force
    known_before: int  # records that the accepted identity before tonight has too
    changed_id: int  # of those, the records whose cluster has another id now
    tokens_shared_by_too_many: int = 0
    interests_alone: tuple[LinkedFrom, ...] = ()


class MovedShare(Record):
    """How far the merges and splits of tonight reach: of persons (key `person`) or of products (key `product`)."""

    changes: int
    moved_share: float
    accepted: bool


class MartsBuiltWith(Record):
    """What the marts were last built with to their end. It belongs to no night."""

    as_of: date
    repeat_consumption: tuple[str, ...]  # platforms whose items people buy or watch again
    generators: tuple[str, ...] = ()
    max_events_per_day: int = 0  # before popularity counted persons, nobody's events were capped
    loads: str = ""  # SHA-256 of the names of all good loads; empty before they were remembered
    persons: str  # SHA-256 of the table of ids; empty where it was lost
    products: str


# --- learn


class BuildPlan(Record):
    """How dbt builds the marts of this night: of all snapshots again, or only of those that are missing and tonight's."""

    full_refresh: bool


class TrainedTowers(Record):
    """The version of the two towers that learned from tonight's snapshot; None where nobody has two positive interactions."""

    version: int | None


class LeakageCheck(Fingerprinted):
    """The newest labelled snapshot that was built with the future and without it, and found equal."""

    snapshot: date
    checked_in: date
    result: GateResult


class JudgedSources(Fingerprinted):
    """What each platform's histories are worth to the others' lists, and which sources are excluded, by target."""

    judged: tuple[JudgedSource, ...]
    excluded: dict[str, tuple[str, ...]]


class Trained(Record):
    """The version that training made, or made before from the same data, code and parameters."""

    version: int
    run_id: str
    examples: int


class JudgedVersion(Facts):
    """A version of the ranker that was compared. `as_of` is the night that trained it."""

    version: int
    run_id: str
    as_of: date


class Comparison(Facts):
    """What each contender's lists of the held-out snapshot are worth."""

    compared_in: date  # the night that compared
    popularity_window: str
    metrics: tuple[Metric, ...]
    objectives: tuple[ObjectiveMetric, ...] = ()
    diversity: tuple[DiversityPrice, ...] = ()
    off_policy: OffPolicy | None = None


class Evaluation(Fingerprinted):
    """What was compared tonight.

    `challenger` is None where there is no model yet, and `champion` where no version serves yet. `comparison` is None
    where there is no model, and where nobody with candidates had a positive interaction.
    """

    challenger: JudgedVersion | None = None
    champion: JudgedVersion | None = None
    held_out: date | None = None
    platforms_judged: tuple[str, ...] = ()
    comparison: Comparison | None = None


class Promotion(Record):
    """What the promotion gate decided about the challenger, and why. The first reason is the one that decided."""

    promote: bool
    reasons: tuple[str, ...]


class ServingModel(Record):
    """The one version of the ranker that makes and explains the lists of this night; None before the first model."""

    version: int | None
    run_id: str | None


# --- serve


class ListCount(Facts):
    platform: str
    strategy: str
    accounts: int


class ListCounts(Record):
    """How many accounts have a list, by platform and strategy."""

    counts: tuple[ListCount, ...]


class FrozenLists(Record):
    """The platforms that get no new lists tonight, and the publication whose lists they keep; None: there was none."""

    platforms: tuple[str, ...]
    publication_id: str | None


class WrittenBack(Record):
    """What one platform (the key) received: how many lists, and how many rows of its table changed."""

    publication_id: str
    lists: int
    rows_changed: int
