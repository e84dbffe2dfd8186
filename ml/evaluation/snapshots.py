"""What the examples of each snapshot are like, in few numbers, so that a night can be compared with the nights before it."""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ml.arrays import Floats
from ml.evaluation.canary import aucs_alone

QUANTILES = 101
STATISTICS = pa.schema(
    [
        ("as_of", pa.date32()),
        ("feature", pa.string()),
        # of the snapshot, the same beside each feature
        ("examples", pa.int64()),
        ("persons", pa.int64()),
        ("positives", pa.int64()),
        # of the feature
        ("missing", pa.float64()),  # share of null
        ("commonest", pa.float64()),  # share of the commonest value, null among them
        ("quantiles", pa.list_(pa.float64())),  # of a number's values other than null and 0; empty where there are none
        ("auc", pa.float64()),  # of the feature alone; null with too few positives
    ]
)


def snapshot_statistics(examples: pa.Table, numeric: Sequence[str], categorical: Sequence[str]) -> pa.Table:
    """`STATISTICS` of each snapshot and feature of ``examples`` (as_of, person_id, label and the features), in their order.

    Values 0 are left out of the quantiles, because most values of many features are 0; `commonest` tells how many.
    """
    rows = []
    for as_of in sorted(pc.unique(examples["as_of"]).to_pylist()):
        of_snapshot = examples.filter(pc.equal(examples["as_of"], as_of))
        alone = aucs_alone(of_snapshot, numeric, categorical)
        counts = {
            "as_of": as_of,
            "examples": of_snapshot.num_rows,
            "persons": pc.count_distinct(of_snapshot["person_id"]).as_py(),
            "positives": int(pc.sum(pc.fill_null(of_snapshot["label"], 0)).as_py() or 0),
        }
        for name in (*numeric, *categorical):
            if name in of_snapshot.column_names:
                column = of_snapshot[name].combine_chunks()
                rows.append(
                    counts
                    | {
                        "feature": name,
                        "missing": column.null_count / len(column),
                        "commonest": pc.max(column.value_counts().field("counts")).as_py() / len(column),
                        "quantiles": _quantiles(column) if name in numeric else [],
                        "auc": alone.get(name),
                    }
                )
    return pa.Table.from_pylist(rows, STATISTICS)


def _quantiles(column: pa.Array) -> list[float]:
    values: Floats = column.drop_null().cast(pa.float64()).to_numpy()
    values = values[np.isfinite(values) & (values != 0)]
    return [float(value) for value in np.quantile(values, np.linspace(0, 1, QUANTILES))] if len(values) else []
