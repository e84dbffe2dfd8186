"""What lists should bring: objectives such as take, click, purchase and watch time, each with a weight in the ranking.

Lists are ranked by the declared-weight mean of the objectives' probabilities. Where each weight says what one such event is
worth, that is the order of the greatest expected worth, because expectations add up.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

POSITIVE = "positive"  # any positive event: what lists are judged by, on every platform


@dataclass(frozen=True)
class Objective:
    """One logit of the network. `platforms` are those where it was ever seen; None: it counts on every platform."""

    name: str
    weight: float
    platforms: tuple[str, ...] | None = None

    @property
    def label(self) -> str:
        """Column of the examples that says 0 or 1."""
        return "label" if self.name == POSITIVE else f"{self.name}_label"

    @property
    def label_weight(self) -> str:
        """Column of the examples that says how much a row counts for it."""
        return f"{self.label}_weight"


def check_weights(weights: Mapping[str, float]) -> None:
    """Raises ValueError for a weight that is no number of at least 0, or where `take` weighs nothing."""
    if wrong := {name: weight for name, weight in weights.items() if not (math.isfinite(weight) and weight >= 0)}:
        raise ValueError(f"the weight of an objective is a finite number of at least 0. Received: {wrong}")
    if not weights.get(POSITIVE):
        raise ValueError(
            f"objective '{POSITIVE}' must weigh more than 0: lists are judged by it, and ranked by it alone where a platform has no "
            f"other. Received: {dict(weights)}"
        )
