"""The pairs of records nearest to the threshold: they show what linking can and cannot tell."""

from collections.abc import Iterator
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from ml.identity.ids import waterfall


@dataclass(frozen=True)
class NearestPair:
    """Two records, `platform:id` each, and how many bits each comparison of them adds to `start` or takes off."""

    caption: str
    left: str
    right: str
    start: float
    steps: list[tuple[str, float]]
    weight: float
    probability: float


def nearest_pairs(pairs: pa.Table, threshold: float, compared: list[str]) -> Iterator[NearestPair]:
    """The weakest link that counts, and the strongest pair that does not; of equal ones the smaller id_l.

    ``pairs`` has platform_l, id_l, platform_r, id_r, match_weight (bits), score (probability), and the bits of each column of
    ``compared``. ``threshold`` is in bits. A side without pairs has none.
    """
    weights = pairs["match_weight"]
    sides = {
        "The weakest link that counts": (pc.greater_equal(weights, threshold), "ascending"),
        "The strongest that does not": (pc.less(weights, threshold), "descending"),
    }
    for caption, (side, order) in sides.items():
        nearest = pairs.filter(side).sort_by([("match_weight", order), ("id_l", "ascending")]).slice(0, 1)
        for pair in nearest.to_pylist():
            steps = waterfall(pair, compared)
            yield NearestPair(
                caption,
                left=f"{pair['platform_l']}:{pair['id_l']}",
                right=f"{pair['platform_r']}:{pair['id_r']}",
                start=pair["match_weight"] - sum(weight for _, weight in steps),
                steps=steps,
                weight=pair["match_weight"],
                probability=pair["score"],
            )
