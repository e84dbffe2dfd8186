"""Gate `identity`: whether tonight's merges and splits may change what people see."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa

from expectations.gate import stop, warn

if TYPE_CHECKING:
    import great_expectations as gx

NAMED_MOVES = 5


def frame(
    kind: str,
    *,
    clusters: int,
    at_size_cap: int,
    expected_precision: float | None,
    known_before: int,
    changed_id: int,
    moved_share: float,
    biggest_moves: list[str],
) -> pa.Table:
    """One row about one kind (person, product).

    ``expected_precision`` is None where nothing is linked. ``moved_share`` is the share of the ``known_before`` records to
    which merges and splits give another history, and ``changed_id`` counts those with another id; both are 0 where a
    person accepted the changes. ``biggest_moves`` names the evidence of each merge and split.
    """
    precision = 1.0 if expected_precision is None else expected_precision
    return pa.table(
        {
            "kind": [kind],
            "expected_precision": pa.array([precision], pa.float64()),
            "at_size_cap_share": [at_size_cap / max(clusters, 1)],
            "id_churn": [changed_id / max(known_before, 1)],
            "moved_share": [moved_share],
            "moves": ["; ".join(biggest_moves[:NAMED_MOVES])],
        }
    )


def suite(
    kind: str, *, min_precision: float, max_churn: float, max_moves: float, moves: str, as_of: str
) -> gx.ExpectationSuite:
    """Rules over `frame`; ``moves`` names the evidence of the biggest moves for whoever has to decide about them."""
    import great_expectations as gx
    import great_expectations.expectations as gxe

    plural = f"{kind}s"
    return gx.ExpectationSuite(
        name="identity",
        meta={"named_by": "kind"},  # the one row holds counts and shares, which say how far off they are
        expectations=[
            gxe.ExpectColumnValuesToBeBetween(
                column="expected_precision",
                min_value=min_precision,
                **stop(
                    f"links of {plural} that are right in {100 * min_precision:g}% of the cases",
                    why="a false link shows somebody a stranger's taste",
                    remedy=f"raise CROSSREC_{kind.upper()}_THRESHOLD, or look at the match weights of the model in MLflow",
                ),
            ),
            gxe.ExpectColumnValuesToBeBetween(
                column="at_size_cap_share",
                max_value=0.001,
                **stop(
                    f"at most 0.1% of the {plural} as large as is allowed",
                    why="many groups at the limit are chains of strangers, or a value that everybody shares",
                    remedy="look for a placeholder in names, addresses or tokens of one platform",
                ),
            ),
            gxe.ExpectColumnValuesToBeBetween(
                column="at_size_cap_share",
                max_value=0,
                **warn(
                    f"no {kind} as large as is allowed",
                    why="such a group may be a chain of strangers",
                    remedy="look at it: `crossrec identity explain`",
                ),
            ),
            gxe.ExpectColumnValuesToBeBetween(
                column="id_churn",
                max_value=max_churn,
                **stop(
                    f"at most {100 * max_churn:g}% of the known records with another {kind}",
                    why="tables outside refer to these ids",
                    remedy="see what changed in names, addresses or tokens, or accept it: "
                    f"`crossrec identity accept {kind} {as_of}`",
                ),
            ),
            gxe.ExpectColumnValuesToBeBetween(
                column="moved_share",
                max_value=max_moves,
                **stop(
                    f"at most {100 * max_moves:g}% of the known records with a history that merges or splits have changed",
                    why=f"their lists would move; the most do {moves or 'nothing'}",
                    remedy=f"`crossrec identity accept {kind} {as_of}` where this is right, else "
                    "`crossrec identity different A B` or `same A B`, and clear the task of linking",
                ),
            ),
        ],
    )
