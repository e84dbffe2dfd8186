"""What lists should bring: objectives such as a click, a purchase or watch time. Each has a weight in the ranking.

Lists are ranked by the weighted mean of the objectives' probabilities. Where each weight says what one such event is worth,
this is the order by expected worth, because expectations add up.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

POSITIVE = "positive"  # any positive event: every platform is judged by it


@dataclass(frozen=True)
class Objective:
    """One output of the network.

    `platforms` are those on which training saw it. None: it counts on every platform.
    """

    name: str
    weight: float
    platforms: tuple[str, ...] | None = None

    @property
    def label(self) -> str:
        """Column of the examples that holds 0 or 1."""
        return "label" if self.name == POSITIVE else f"{self.name}_label"

    @property
    def label_weight(self) -> str:
        """Column of the examples that holds the weight of a row for this objective."""
        return f"{self.label}_weight"


POSITIVE_ALONE = (Objective(POSITIVE, 1.0),)


def shares_on(objectives: Sequence[Objective], platforms: Sequence[str]) -> npt.NDArray[np.float32]:
    """What each objective counts on each platform, float32 (platforms, objectives). A row sums to one.

    An objective counts nothing on a platform where training never saw it.
    """
    weights = np.array(
        [
            [each.weight if each.platforms is None or name in each.platforms else 0.0 for each in objectives]
            for name in platforms
        ]
    ).reshape(-1, len(objectives))
    shares: npt.NDArray[np.float32] = (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)
    return shares


def check_weights(weights: Mapping[str, float]) -> None:
    """Raises ValueError for a weight that is not a number of at least 0, or where `positive` has no weight."""
    if wrong := {name: weight for name, weight in weights.items() if not (math.isfinite(weight) and weight >= 0)}:
        raise ValueError(f"the weight of an objective is a finite number of at least 0. Received: {wrong}")
    if not weights.get(POSITIVE):
        raise ValueError(
            f"objective '{POSITIVE}' must weigh more than 0: lists are judged by it, and a platform without another "
            f"objective is ranked by it alone. Received: {dict(weights)}"
        )
