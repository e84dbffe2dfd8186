"""Gate `leakage`: what a model learns from a snapshot must not depend on what happened after it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import TYPE_CHECKING

import pyarrow as pa

from expectations.gate import stop

if TYPE_CHECKING:
    import great_expectations as gx


def frame(moved: Mapping[str, int], *, other_candidates: int) -> pa.Table:
    """One row per feature: in how many candidates of the snapshot it changed when the future was deleted.

    ``other_candidates``, on every row, counts the candidates that are there only with the future or only without it.
    """
    return pa.table(
        {
            "feature": pa.array(moved.keys(), pa.string()),
            "moved": pa.array(moved.values(), pa.int64()),
            "other_candidates": pa.array([other_candidates] * len(moved), pa.int64()),
        }
    )


def suite(as_of: date, candidates: int) -> gx.ExpectationSuite:
    """Rules over `frame` for the snapshot of ``as_of``, which has so many ``candidates``."""
    import great_expectations as gx
    import great_expectations.expectations as gxe

    remedy = (
        "read its SQL, from `candidates.sql` down to `interactions`: every join of events must go through `known_by`, "
        "every time must be counted up to the row's own `as_of`, and no label may be read. Then run the night again"
    )
    return gx.ExpectationSuite(
        name="leakage",
        meta={"named_by": "feature"},
        expectations=[
            gxe.ExpectColumnValuesToBeBetween(
                column="moved",
                max_value=0,
                **stop(
                    f"no feature to change in any of {candidates:,} candidates when all that happened or became known on or "
                    f"after {as_of} is deleted",
                    why="the model learns from what it will not have when it scores: it looks good, and serves badly",
                    remedy=remedy,
                ),
            ),
            gxe.ExpectColumnMaxToBeBetween(
                column="other_candidates",
                max_value=0,
                **stop(
                    f"the same {candidates:,} candidates when all that happened or became known on or after {as_of} is deleted",
                    why="a list that was made with the future holds more of what people then chose than any real list",
                    remedy=remedy,
                ),
            ),
        ],
    )
