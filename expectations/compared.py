"""What features are like beside the other snapshots or nights that there are: bounds are learned from these."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from expectations.gate import stop, warn

if TYPE_CHECKING:
    import great_expectations as gx
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


def as_frame(findings: Sequence[Mapping[str, object]], kinds: Iterable[str], learned: Collection[str]) -> pa.Table:
    """One row per finding: what, a column for each kind, and `<kind>_young` for those whose bounds are ``learned``.

    They hold how far beyond the bound the value is: 0 or less is within, null is not judged here.
    """
    return pa.table(
        {"what": pa.array([finding["what"] for finding in findings], pa.string())}
        | {
            column: pa.array([finding.get(column) for finding in findings], pa.float64())
            for column in _columns(kinds, learned)
        }
    )


def suite_over(
    name: str,
    said: Mapping[str, tuple[str, str, str]],
    *,
    learned: Collection[str],
    few: str,
    accepted: bool,
    never_accepted: Collection[str] = (),
) -> gx.ExpectationSuite:
    """Rules over `as_frame`.

    Args:
        name: the suite's.
        said: of each kind what is right, why, and what to do.
        learned: kinds whose bounds are learned; from too ``few`` ("snapshots", say) they only warn.
        accepted: a person looked at tonight's and found it right, so all of it warns.
        never_accepted: kinds that stop then too.
    """
    import great_expectations as gx
    import great_expectations.expectations as gxe

    after = "; if it is right, such as after a holiday, set CROSSREC_ACCEPTED_EXAMPLES to the date of tonight's night"
    rules = []
    for kind, (words, why, remedy) in said.items():
        for column in _columns([kind], learned):
            is_young, may_accept = column != kind, kind not in never_accepted
            severity = warn if is_young or (accepted and may_accept) else stop
            description = f"{words}{f' (learned from few {few})' if is_young else ''}; how far beyond the bound"
            texts = severity(description, why=why, remedy=remedy + (after if may_accept else ""))
            rules.append(gxe.ExpectColumnValuesToBeBetween(column=column, max_value=0, **texts))
    return gx.ExpectationSuite(name=name, meta={"named_by": "what"}, expectations=rules)


def _columns(kinds: Iterable[str], learned: Collection[str]) -> list[str]:
    return [column for kind in kinds for column in ([kind, f"{kind}_young"] if kind in learned else [kind])]
