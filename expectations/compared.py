"""What features are like beside the other snapshots or nights that there are: bounds are learned from these."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    import pandas as pd

MATURE = 4  # others from which a bound that may stop a night is learned
# What a snapshot may differ from itself in an earlier night. It is built again where people or products were merged or split, and
# the gate `identity` lets these move the lists of 5% of the accounts. So this is twice what honest nights do.
REBUILT = 0.1
ERRORS = 4.0  # standard errors that are still chance
KOLMOGOROV = 2.69  # the critical value of the two-sample Kolmogorov-Smirnov test at one in a million


def judge(
    finding: dict[str, object],
    kind: str,
    value: float,
    others: Sequence[float],
    noise: float,
    own: Sequence[float] = (),
) -> None:
    """Add by how much ``value`` exceeds its bounds: that of the same snapshot in an earlier night, and that of other snapshots.

    The latter is their largest value, and above it as much again as lies between them, or ``noise`` if that is more.
    """
    if len(own):
        finding[kind] = float(value - max(own) - REBUILT)
    elif len(others) >= 2:
        bound = max(others) + max(max(others) - min(others), noise)
        finding[kind if len(others) >= MATURE else f"{kind}_young"] = float(value - bound)


def noise_of_share(others: pd.Series[float], persons: int) -> float:
    """How far two shares of the rows of so many persons differ by chance, where both are about the mean of ``others``."""
    mean = others.mean() if len(others) else 0.5
    share = min(max(mean, 1 / persons), 1 - 1 / persons)
    return float(ERRORS * np.sqrt(2 * share * (1 - share) / persons))


def judge_distribution(
    finding: dict[str, object],
    value: Sequence[float],
    others: Sequence[Sequence[float]],
    noise: float,
    own: Sequence[Sequence[float]] = (),
) -> None:
    """Compare quantiles by the largest distance of two distribution functions (Kolmogorov-Smirnov).

    Of other snapshots the distance of each from the rest is the value that `judge` compares. A week in which everybody comes at once
    is far from the others in all that counts events of a day, and is honest.
    """
    if not len(value):
        return  # all null or 0, which other kinds see
    if own:
        if len(own[0]):
            judge(finding, "distribution", distance(value, own[0]), [], noise, own=[0.0])
        return
    with_values = [quantiles for quantiles in others if len(quantiles)]
    if len(with_values) < 2:
        return
    usual = [float(np.median(np.delete(row, number))) for number, row in enumerate(distances(with_values))]
    judge(finding, "distribution", float(np.median([distance(value, other) for other in with_values])), usual, noise)


def noise_of_distance(persons: int) -> float:
    """How far two distributions differ by chance, where the rows are of so many persons: these, not the rows, are independent."""
    return float(KOLMOGOROV * np.sqrt(2 / max(persons, 1)))


def distances(samples: Sequence[Sequence[float]]) -> npt.NDArray[np.float64]:
    """The distance of each from each, (samples, samples)."""
    between = np.zeros((len(samples), len(samples)))
    for one, other in combinations(range(len(samples)), 2):
        between[one, other] = between[other, one] = distance(samples[one], samples[other])
    return between


def distance(one: Sequence[float], other: Sequence[float]) -> float:
    """The Kolmogorov-Smirnov statistic of two sorted samples; scipy's function also tests them, and takes a hundred times as long."""
    places = np.concatenate([one, other])
    below = [np.searchsorted(sample, places, side="right") / len(sample) for sample in (one, other)]
    return float(np.abs(below[0] - below[1]).max())
