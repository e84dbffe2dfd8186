"""Contenders side by side on the same people and window, with bootstrap intervals for values and differences."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from ml.evaluation.metrics import Floats, Ints, Lists, Ranked, by_list, coverage, losses, placements, ranked

ALL = "all"
SCHEMA = pa.schema(
    [
        ("contender", pa.string()),
        ("against", pa.string()),
        ("platform", pa.string()),
        ("metric", pa.string()),
        ("value", pa.float64()),
        ("low", pa.float64()),
        ("high", pa.float64()),
        ("people", pa.int64()),
    ]
)


@dataclass(frozen=True)
class Contender:
    """A way to rank: `scored` has person_id, platform, item_id, score, label. Log loss needs `probabilities`.

    AUC is taken over `auc_rows`, of the same columns, where those are given: a list of the best says nothing of how a
    method orders the rest.
    """

    name: str
    scored: pa.Table
    probabilities: bool = False
    auc_rows: pa.Table | None = None


@dataclass(frozen=True)
class _Estimate:
    """A metric as sums over persons, so that a resampling of persons is a weighting of sums.

    value = offset + the sum of numerator / denominator over `ratios`, each an array by person.
    """

    contender: str
    platform: str
    metric: str
    ratios: Sequence[tuple[Floats, Floats]]
    people: int
    offset: float = 0.0

    def weighted(self, weights: Floats) -> Floats:
        """The metric under each row of person weights (replicates, persons)."""
        with np.errstate(invalid="ignore", divide="ignore"):
            value: Floats = np.sum([(weights @ top) / (weights @ bottom) for top, bottom in self.ratios], axis=0)
        return value + self.offset


def _estimates(contender: Contender, rows: Ranked, auc_rows: Ranked, lists: Lists) -> Iterator[_Estimate]:
    persons = len(lists.persons)

    def by_person(person: Ints, values: Floats) -> Floats:
        return np.bincount(person, values, minlength=persons).astype(np.float64)

    def pooled(rows: Ranked, platform: int | None) -> tuple[Floats, Floats, Ints]:
        held = np.flatnonzero(lists.platform[rows.list] == platform) if platform is not None else slice(None)
        return rows.label[held], rows.score[held], lists.person[rows.list[held]]

    values = by_list(rows, lists)
    for index, platform in [(None, ALL), *enumerate(lists.platforms)]:
        chosen = np.flatnonzero((lists.platform == index) if index is not None else lists.person >= 0)
        person = lists.person[chosen]
        people = len(np.unique(person))
        for metric, value in values.items():
            ratio = by_person(person, value[chosen]), by_person(person, np.ones(len(chosen)))
            yield _Estimate(contender.name, platform, metric, [ratio], people)

        label, score, person = pooled(auc_rows, index)
        placed = placements(label, score)
        if not np.isnan(placed).any() and len(placed):
            # The AUC's first-order expansion over persons: mean placement of the positives plus that of the negatives,
            # minus the AUC itself (Obuchowski 1997, for clustered data).
            classes = [(by_person(person, placed * side), by_person(person, side)) for side in (label, 1 - label)]
            area = float(placed[label == 1].mean())
            yield _Estimate(contender.name, platform, "auc", classes, people, offset=-area)
        label, score, person = pooled(rows, index)
        if contender.probabilities and len(label):
            ratio = by_person(person, losses(label, score)), by_person(person, np.ones(len(label)))
            yield _Estimate(contender.name, platform, "log_loss", [ratio], people)


def _resamplings(persons: int, replicates: int, seed: int) -> Iterator[Floats]:
    """Weights of the persons in each bootstrap replicate, some replicates at a time: at most about 40 MB."""
    generator = np.random.default_rng(seed)
    step = max(1, 5_000_000 // persons)
    for start in range(0, replicates, step):
        count = min(step, replicates - start)
        drawn = generator.integers(persons, size=(count, persons)) + np.arange(count)[:, None] * persons
        yield np.bincount(drawn.ravel(), minlength=count * persons).reshape(count, persons).astype(np.float64)


def compare(
    contenders: Sequence[Contender],
    relevant: pa.Table,
    catalogue: Mapping[str, int],
    replicates: int = 1_000,
    level: float = 0.95,
    seed: int = 0,
) -> pa.Table:
    """One row per contender, opponent, platform and metric: value, percentile interval over persons, people judged.

    `against` is null for a contender's own value and names the opponent for a paired difference (contender minus
    opponent, the same persons drawn for both). `platform` is 'all' or one platform. Metrics are means over the lists
    of `relevant` (ndcg_at_10, recall_at_20, mrr) or pooled over their rows (auc, and log_loss for contenders that give
    probabilities). Coverage has no interval, because a resampled crowd always shows fewer items.
    """
    names = [contender.name for contender in contenders]
    if len(set(names)) < len(names):
        raise ValueError(f"contenders must have different names. Received: {names}")
    lists = Lists.from_table(relevant)
    estimates: list[_Estimate] = []
    rows: list[dict[str, object]] = []
    for contender in contenders:
        placed = ranked(contender.scored, lists, contender.name)
        auc_rows = placed if contender.auc_rows is None else ranked(contender.auc_rows, lists, contender.name)
        estimates += _estimates(contender, placed, auc_rows, lists)
        people = {estimate.platform: estimate.people for estimate in estimates}
        for platform, share in coverage(placed, lists, catalogue).items():
            rows.append(_row(contender.name, None, platform, "coverage", share, None, people[platform]))

    everyone = np.ones((1, len(lists.persons)))
    points = [float(estimate.weighted(everyone)[0]) for estimate in estimates]
    draws = np.hstack(
        [
            np.stack([estimate.weighted(weights) for estimate in estimates])
            for weights in _resamplings(len(lists.persons), replicates, seed)
        ]
    )
    tails = [(1 - level) / 2, (1 + level) / 2]
    place = {(e.contender, e.platform, e.metric): index for index, e in enumerate(estimates)}
    for index, estimate in enumerate(estimates):
        scope = estimate.platform, estimate.metric, estimate.people
        interval = np.nanquantile(draws[index], tails)
        rows.append(_row(estimate.contender, None, *scope[:2], points[index], interval, scope[2]))
        for name in names:
            other = place.get((name, *scope[:2]))
            if name != estimate.contender and other is not None:
                interval = np.nanquantile(draws[index] - draws[other], tails)
                difference = points[index] - points[other]
                rows.append(_row(estimate.contender, name, *scope[:2], difference, interval, scope[2]))
    return pa.Table.from_pylist(rows, SCHEMA)


def _row(
    contender: str,
    against: str | None,
    platform: str,
    metric: str,
    value: float,
    interval: Floats | None,
    people: int,
) -> dict[str, object]:
    low, high = (None, None) if interval is None else (float(interval[0]), float(interval[1]))
    return {
        "contender": contender,
        "against": against,
        "platform": platform,
        "metric": metric,
        "value": value,
        "low": low,
        "high": high,
        "people": people,
    }
