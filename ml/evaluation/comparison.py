"""Contenders side by side on the same people and window, with bootstrap intervals for values and differences."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from ml.arrays import Floats, Ints
from ml.evaluation.metrics import (
    Lists,
    Ranked,
    by_list,
    calibration_error,
    coverage,
    losses,
    placements,
    popularity_shown,
    ranked,
)

ALL = "all"
CHALLENGER, CHAMPION, POPULARITY = "challenger", "champion", "popularity"  # names of contenders
SCHEMA = pa.schema(
    [
        ("contender", pa.string()),
        ("against", pa.string()),
        ("platform", pa.string()),
        ("cohort", pa.string()),
        ("metric", pa.string()),
        ("value", pa.float64()),
        ("low", pa.float64()),
        ("high", pa.float64()),
        ("people", pa.int64()),
    ]
)


@dataclass(frozen=True)
class Contender:
    """A way to rank. `scored` has person_id, platform, item_id, score and label.

    With `probabilities`, the column `probability` is one, or else the score is: log loss and calibration error need it.
    Without a column `category` there is no diversity, and without `popularity` no novelty and no popularity lift. AUC is
    computed over `auc_rows`, with the same columns, where they are given: a list of the best items does not tell how a method
    orders the rest.
    """

    name: str
    scored: pa.Table
    probabilities: bool = False
    auc_rows: pa.Table | None = None


@dataclass(frozen=True)
class _Judged:
    """A contender's rows in the judged lists, and what each list is worth."""

    contender: Contender
    rows: Ranked
    auc_rows: Ranked
    by_list: Mapping[str, Floats]
    coverage: Mapping[str, float]


@dataclass(frozen=True)
class _Scope:
    """The lists that one line of the comparison is about: all, those of a platform, or those of a cohort."""

    platform: str
    cohort: str
    lists: Ints


@dataclass(frozen=True)
class _Estimate:
    """A metric as sums over persons, so that a resampling of persons is a weighting of sums.

    value = offset + the sum of numerator / denominator over `ratios`, each an array by person.
    """

    contender: str
    metric: str
    ratios: Sequence[tuple[Floats, Floats]]
    offset: float = 0.0


def _judged(contender: Contender, lists: Lists, catalogue: Mapping[str, int]) -> _Judged:
    rows = ranked(contender.scored, lists, contender.name)
    auc_rows = rows if contender.auc_rows is None else ranked(contender.auc_rows, lists, contender.name)
    return _Judged(contender, rows, auc_rows, by_list(rows, lists), coverage(rows, lists, catalogue))


def _scopes(lists: Lists) -> Iterator[_Scope]:
    yield _Scope(ALL, ALL, np.arange(len(lists.relevant)))
    for index, platform in enumerate(lists.platforms):
        yield _Scope(platform, ALL, np.flatnonzero(lists.platform == index))
    for cohort, is_in_it in lists.cohorts.items():
        yield _Scope(ALL, cohort, np.flatnonzero(is_in_it))


def _estimates(judged: _Judged, lists: Lists, scope: _Scope) -> Iterator[_Estimate]:
    """Metrics of lists in every scope; those pooled over rows overall and by platform only, as cohorts are small."""
    name, probabilities = judged.contender.name, judged.contender.probabilities
    persons, person = np.unique(lists.person[scope.lists], return_inverse=True)
    person_of = np.full(len(lists.relevant), -1)
    person_of[scope.lists] = person

    def by_person(person: Ints, values: Floats) -> Floats:
        return np.bincount(person, values, minlength=len(persons)).astype(np.float64)

    def ratio(top: Floats, bottom: Floats) -> tuple[Floats, Floats]:
        known = ~(np.isnan(top) | np.isnan(bottom))
        return by_person(person[known], top[known]), by_person(person[known], bottom[known])

    for metric, values in judged.by_list.items():
        if not np.isnan(values[scope.lists]).all():
            yield _Estimate(name, metric, [ratio(values[scope.lists], np.ones(len(scope.lists)))])
    shown = popularity_shown(judged.rows, lists)
    if shown is not None and lists.positives_popularity is not None:
        lifted = [ratio(shown[scope.lists], lists.positives_popularity[scope.lists])]
        if lifted[0][1].any():
            yield _Estimate(name, "popularity_lift", lifted, offset=-1.0)
    if scope.cohort != ALL:
        return

    def pooled(rows: Ranked, values: Floats) -> tuple[Floats, Floats, Ints]:
        held = person_of[rows.list] >= 0
        return rows.label[held], values[held], person_of[rows.list[held]]

    label, score, person_of_row = pooled(judged.auc_rows, judged.auc_rows.score)
    placed = placements(label, score)
    if not np.isnan(placed).any() and len(placed):
        # The AUC's first-order expansion over persons: mean placement of the positives plus that of the negatives,
        # minus the AUC itself (Obuchowski 1997, for clustered data).
        classes = [
            (by_person(person_of_row, placed * side), by_person(person_of_row, side)) for side in (label, 1 - label)
        ]
        yield _Estimate(name, "auc", classes, offset=-float(placed[label == 1].mean()))
    label, probability, person_of_row = pooled(judged.rows, judged.rows.probability)
    if probabilities and len(label):
        lost = by_person(person_of_row, losses(label, probability)), by_person(person_of_row, np.ones(len(label)))
        yield _Estimate(name, "log_loss", [lost])


def _without_interval(judged: _Judged, lists: Lists, scope: _Scope) -> Iterator[tuple[str, float]]:
    """Metrics whose resampled values are biased, so that their quantiles are no interval: fewer persons show fewer items."""
    if scope.cohort != ALL:
        return
    if scope.platform in judged.coverage:
        yield "coverage", judged.coverage[scope.platform]
    held = np.isin(judged.rows.list, scope.lists)
    if judged.contender.probabilities and held.any():
        yield "calibration_error", calibration_error(judged.rows.label[held], judged.rows.probability[held])


def _resamplings(persons: int, replicates: int, seed: int) -> Iterator[Floats]:
    """Weights of the persons in each bootstrap replicate, some replicates at a time: at most about 40 MB."""
    generator = np.random.default_rng(seed)
    step = max(1, 5_000_000 // persons)
    for start in range(0, replicates, step):
        count = min(step, replicates - start)
        drawn = generator.integers(persons, size=(count, persons)) + np.arange(count)[:, None] * persons
        yield np.bincount(drawn.ravel(), minlength=count * persons).reshape(count, persons).astype(np.float64)


def mean_interval(
    values: Floats, person: Ints, level: float = 0.95, replicates: int = 1_000, seed: int = 0
) -> tuple[float, float]:
    """Percentile bootstrap of the mean over lists, in which persons (0, 1 ... by list) are drawn with all their lists."""
    sums, counts = np.bincount(person, values).astype(np.float64), np.bincount(person).astype(np.float64)
    draws = np.concatenate([(w @ sums) / (w @ counts) for w in _resamplings(len(sums), replicates, seed)])
    low, high = np.quantile(draws, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def _measure(estimates: Sequence[_Estimate], replicates: int, seed: int) -> tuple[Floats, Floats]:
    """Each estimate's value, and its values under resampling (estimates, replicates), the same persons drawn for all."""
    tops, bottoms = (np.stack([ratio[side] for e in estimates for ratio in e.ratios], axis=1) for side in (0, 1))
    first = np.cumsum([0, *(len(estimate.ratios) for estimate in estimates[:-1])])
    offsets = np.array([estimate.offset for estimate in estimates])

    def weighted(weights: Floats) -> Floats:
        with np.errstate(invalid="ignore", divide="ignore"):
            value: Floats = np.add.reduceat((weights @ tops) / (weights @ bottoms), first, axis=1) + offsets
        return value

    draws = [weighted(weights) for weights in _resamplings(len(tops), replicates, seed)]
    return weighted(np.ones((1, len(tops))))[0], np.concatenate(draws).T


def compare(
    contenders: Sequence[Contender],
    relevant: pa.Table,
    catalogue: Mapping[str, int],
    replicates: int = 1_000,
    level: float = 0.95,
    seed: int = 0,
) -> pa.Table:
    """One row per contender, opponent, platform, cohort and metric: value, percentile interval over persons, people judged.

    `against` is null for a contender's own value and names the opponent for a paired difference (contender minus
    opponent, the same persons drawn for both). `platform` is 'all' or one platform; `cohort` is 'all' or, over all
    platforms, one of those that `relevant` tells (`Lists.from_table`). Metrics are means over the lists of `relevant`
    (`by_list`, and popularity_lift), or pooled over their rows and then not by cohort: auc and, for contenders that give
    probabilities, log_loss and calibration_error. Coverage and calibration error have no interval.
    """
    names = [contender.name for contender in contenders]
    if len(set(names)) < len(names):
        raise ValueError(f"contenders must have different names. Received: {names}")
    lists = Lists.from_table(relevant)
    judged = [_judged(contender, lists, catalogue) for contender in contenders]
    rows = [row for scope in _scopes(lists) for row in _compared(judged, lists, scope, replicates, level, seed)]
    return pa.Table.from_pylist(rows, SCHEMA)


def _compared(
    judged: Sequence[_Judged], lists: Lists, scope: _Scope, replicates: int, level: float, seed: int
) -> Iterator[dict[str, object]]:
    people = len(np.unique(lists.person[scope.lists]))

    def row(contender: str, against: str | None, metric: str, value: float, draws: Floats | None) -> dict[str, object]:
        low, high = (
            (None, None) if draws is None else np.nanquantile(draws, [(1 - level) / 2, (1 + level) / 2]).tolist()
        )
        told = (contender, against, scope.platform, scope.cohort, metric, value, low, high, people)
        return dict(zip(SCHEMA.names, told, strict=True))

    for each in judged:
        for metric, share in _without_interval(each, lists, scope):
            yield row(each.contender.name, None, metric, share, None)
    estimates = [estimate for each in judged for estimate in _estimates(each, lists, scope)]
    points, draws = _measure(estimates, replicates, seed)
    place = {(estimate.contender, estimate.metric): index for index, estimate in enumerate(estimates)}
    for (name, metric), index in place.items():
        yield row(name, None, metric, float(points[index]), draws[index])
        for opponent in (each.contender.name for each in judged if each.contender.name != name):
            if (other := place.get((opponent, metric))) is not None:
                yield row(name, opponent, metric, float(points[index] - points[other]), draws[index] - draws[other])
