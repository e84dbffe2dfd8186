"""Gate `reconciliation`: no row is lost between the lake and staging."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from expectations.gate import stop, warn

if TYPE_CHECKING:
    import great_expectations as gx

QUARANTINE_WARN = 0.01
QUARANTINE_STOP = 0.05
SMALLEST_BASE = 500


def frame(counts: pa.Table) -> pa.Table:
    """The frame that `suite` checks, one row per platform and contract.

    ``counts`` has platform, contract, raw_rows, staged_rows, duplicate_rows, quarantined_rows. The difference is
    computed here again, so that the gate proves the counts and does not repeat a claim. A share is computed of at least
    SMALLEST_BASE rows.
    """
    raw, staged, duplicates, quarantined = (
        pc.cast(counts[f"{kind}_rows"], pa.int64()) for kind in ("raw", "staged", "duplicate", "quarantined")
    )
    accounted_for = pc.add(pc.add(staged, duplicates), quarantined)
    base = pc.cast(pc.max_element_wise(raw, pa.scalar(SMALLEST_BASE)), pa.float64())
    return pa.table(
        {
            "rows_of": pc.binary_join_element_wise(counts["platform"], counts["contract"], "."),
            "raw_rows": raw,
            "difference": pc.subtract(raw, accounted_for),
            "quarantined_share": pc.divide(quarantined, base),
        }
    )


def suite() -> gx.ExpectationSuite:
    """Rules over `frame`: raw = staged + duplicates + quarantined, and little is quarantined."""
    import great_expectations as gx
    import great_expectations.expectations as gxe

    look = "see why: `select platform, contract, reject_reason, count(*) from intermediate.int_quality__quarantine group by all`"
    return gx.ExpectationSuite(
        name="reconciliation",
        meta={"named_by": "rows_of"},
        expectations=[
            gxe.ExpectTableRowCountToBeBetween(
                min_value=1,
                **stop(
                    "counts of at least one platform",
                    why="without counts nothing is proven",
                    remedy="see whether dbt built the model `int_quality__row_counts`",
                ),
            ),
            gxe.ExpectColumnValuesToNotBeNull(
                column="difference",
                **stop(
                    "all four counts of every contract",
                    why="a missing count proves nothing",
                    remedy="see whether dbt built the staging models of that platform",
                ),
            ),
            gxe.ExpectColumnValuesToBeInSet(
                column="difference",
                value_set=[0],
                **stop(
                    "raw rows = staged + duplicates + quarantined",
                    why="rows vanished (a positive difference) or multiplied (a negative one) on the way into staging",
                    remedy="look for an inner join or a filter in that platform's staging models, or a join on a key "
                    "that repeats",
                ),
            ),
            *(
                gxe.ExpectColumnValuesToBeBetween(
                    column="quarantined_share",
                    max_value=limit,
                    **severity(
                        f"at most {limit:.0%} of the rows in quarantine",
                        why="quarantined rows teach the model nothing; many of one reason mean that a source changed",
                        remedy=look,
                    ),
                )
                for limit, severity in ((QUARANTINE_STOP, stop), (QUARANTINE_WARN, warn))
            ),
        ],
    )
