"""Gate `transfer`: whether what a platform knows helps the others' lists."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from expectations.gate import warn

if TYPE_CHECKING:
    import great_expectations as gx


def frame(judged: pa.Table) -> pa.Table:
    """The rows of ``judged`` (source, target, cohort, verdict) that were decided, each with a ``name`` to be called by."""
    names = pc.binary_join_element_wise(judged["source"], " for ", judged["target"], ", ", judged["cohort"], "")
    return judged.append_column("name", names).filter(pc.not_equal(judged["verdict"], "too few"))


def suite() -> gx.ExpectationSuite:
    import great_expectations as gx
    import great_expectations.expectations as gxe

    remedy = (
        "nothing tonight: the source is excluded for the platforms that it does not help, until it helps again. Look at what "
        "the platform has changed: a join by the wrong account id, a test system's events, an export that has lost its order"
    )
    return gx.ExpectationSuite(
        name="transfer",
        meta={"named_by": "name"},
        expectations=[
            gxe.ExpectColumnValuesToNotBeInSet(
                column="verdict",
                value_set=["tells nothing"],
                **warn(
                    "each platform's histories to predict better than a stranger's",
                    why="events that do not belong to their accounts show people a stranger's taste",
                    remedy=remedy,
                ),
            ),
            gxe.ExpectColumnValuesToNotBeInSet(
                column="verdict",
                value_set=["harms"],
                **warn(
                    "no platform's histories to make another's lists significantly worse",
                    why="lists are shared so that they get better",
                    remedy=remedy,
                ),
            ),
        ],
    )
