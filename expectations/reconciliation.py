"""The gates that prove the conservation table: what came in is what it became, line by line, from landed rows to lists."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from expectations.gate import stop, warn

if TYPE_CHECKING:
    import great_expectations as gx

QUARANTINE_WARN = 0.01
SMALLEST_BASE = 500

# One row is one part of a line: so many of the rows of a load became this. The row without a part says how many there were.
LINES = pa.schema(
    [
        ("platform", pa.string()),
        ("table", pa.string()),
        ("load_date", pa.date32()),
        ("stage", pa.string()),
        ("part", pa.string()),
        ("rows", pa.int64()),
    ]
)
LINE = ["platform", "table", "load_date", "stage"]
# What a share counts: the parts of a stage, of tonight's load alone. Rows of earlier loads were judged on their own night.
SHARES: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "quarantined_share": ("staged", ("quarantined", "unreadable")),
    "unknown_account_share": ("fates", ("unknown_account", "handle_given_up")),
    "unknown_item_share": ("fates", ("unknown_item",)),
}


def frame(lines: pa.Table, as_of: date) -> pa.Table:
    """The frame that `suite` checks, one row per line of ``lines``, which has the columns of `LINES`.

    The difference is computed here, so that the gate proves the counts and does not repeat a claim; it is null where a
    count is missing. A share is null but for the load of ``as_of``, and is computed of at least SMALLEST_BASE rows.
    """
    came = pc.is_null(lines["part"])
    counted = lines.append_column("signed", pc.if_else(came, lines["rows"], pc.negate(lines["rows"])))
    counted = counted.append_column("came", pc.if_else(came, lines["rows"], 0))
    for name, (stage, parts) in SHARES.items():
        is_meant = pc.and_(pc.equal(lines["stage"], stage), pc.is_in(lines["part"], pa.array(parts)))
        counted = counted.append_column(name, pc.if_else(is_meant, lines["rows"], 0))
    every = pc.ScalarAggregateOptions(skip_nulls=False)
    sums = [(name, "sum", every) for name in ("signed", "came", *SHARES)]
    grouped = counted.group_by(LINE, use_threads=False).aggregate(sums).sort_by([(name, "ascending") for name in LINE])
    base = pc.cast(pc.max_element_wise(grouped["came_sum"], pa.scalar(SMALLEST_BASE)), pa.float64())
    tonight = pc.fill_null(pc.equal(grouped["load_date"], pa.scalar(as_of, pa.date32())), False)
    shares = {
        name: pc.if_else(
            pc.and_(tonight, pc.equal(grouped["stage"], stage)),
            pc.divide(pc.cast(grouped[f"{name}_sum"], pa.float64()), base),
            pa.scalar(None, pa.float64()),
        )
        for name, (stage, _) in SHARES.items()
    }
    return pa.table({"rows_of": _names(grouped), "difference": grouped["signed_sum"], **shares})


def _names(grouped: pa.Table) -> pa.ChunkedArray:
    """'shop.orders of 2000-12-14, staged': how a failing line is named."""
    load = pc.binary_join_element_wise(pa.scalar(" of "), pc.cast(grouped["load_date"], pa.string()), "")
    table = pc.binary_join_element_wise(grouped["platform"], grouped["table"], ".")
    return pc.binary_join_element_wise(table, pc.fill_null(load, ""), pa.scalar(", "), grouped["stage"], "")


def suite(name: str, *, remedy: str, warn_unknown_ids: float = 1.0) -> gx.ExpectationSuite:
    """Rules over `frame`: every line adds up, little is quarantined, and events are of known accounts and items.

    ``name`` is the gate's, ``remedy`` says where rows of its lines can be lost. Shares are of tonight's loads, and only
    warn: gate `contents` has held a load that is too bad.
    """
    import great_expectations as gx
    import great_expectations.expectations as gxe

    look = "see why: `select platform, contract, reject_reason, count(*) from intermediate.int_quality__quarantine group by all`"
    ids = (
        "compare how the platform spells ids in its events and in its table of {records} (case, blanks, leading zeros, "
        "`12.0` for `12`), and mend its staging models or its export. Where such events are normal (guests, deleted "
        "{records}), raise `CROSSREC_WARN_UNKNOWN_IDS`"
    )
    bounds = [
        (
            "quarantined_share",
            QUARANTINE_WARN,
            "of a load's rows in quarantine",
            "quarantined rows teach the model nothing; many of one reason mean that a source changed",
            look,
        ),
        *(
            (
                f"unknown_{record}_share",
                warn_unknown_ids,
                f"of tonight's events with {article} {record} that the platform does not have",
                why,
                ids.format(records=f"{record}s"),
            )
            for record, article, why in (
                ("account", "an", "such events count for nobody"),
                ("item", "an", "such events say nothing about any item that a list can show"),
            )
        ),
    ]
    return gx.ExpectationSuite(
        name=name,
        meta={"named_by": "rows_of"},
        expectations=[
            gxe.ExpectTableRowCountToBeBetween(
                min_value=1,
                **stop(
                    "at least one line of the conservation table",
                    why="without counts nothing is proven",
                    remedy="see whether dbt built the models of `intermediate/quality`",
                ),
            ),
            gxe.ExpectColumnValuesToNotBeNull(
                column="difference",
                **stop(
                    "all counts of every line",
                    why="a missing count proves nothing",
                    remedy="see whether dbt built the staging models of that platform",
                ),
            ),
            gxe.ExpectColumnValuesToBeInSet(
                column="difference",
                value_set=[0],
                **stop(
                    "as many rows as they became in every line",
                    why="rows vanished (a positive difference) or multiplied (a negative one) at that stage",
                    remedy=remedy,
                ),
            ),
            *(
                gxe.ExpectColumnValuesToBeBetween(
                    column=column,
                    max_value=limit,
                    **warn(f"at most {limit:.1%} {what}", why=why, remedy=todo),
                )
                for column, limit, what, why, todo in bounds
            ),
        ],
    )
