"""What examples and tonight's candidates are like, in few numbers, so that a night can be compared with the nights before it."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ml.arrays import Floats
from ml.evaluation.canary import aucs_alone

QUANTILES = 101
SAMPLED = 20_000  # rows of a platform and shard: the share of rows with a value is then known to 1%
OF_FEATURE = [
    ("missing", pa.float64()),  # share of null
    ("commonest", pa.float64()),  # share of the commonest value, null among them
    ("quantiles", pa.list_(pa.float64())),  # of a number's values other than null and 0; empty where there are none
]
STATISTICS = pa.schema(
    [
        ("as_of", pa.date32()),
        ("feature", pa.string()),
        # of the snapshot, the same beside each feature
        ("examples", pa.int64()),
        ("persons", pa.int64()),
        ("positives", pa.int64()),
        # of the feature
        *OF_FEATURE,
        ("auc", pa.float64()),  # of the feature alone; null with too few positives
    ]
)
SERVED = pa.schema(
    [
        ("as_of", pa.date32()),
        ("platform", pa.string()),
        ("feature", pa.string()),
        # of the platform's candidates, the same beside each feature
        ("candidates", pa.int64()),
        ("persons", pa.int64()),
        # of the feature
        *OF_FEATURE,
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
        for feature in _of_features(of_snapshot, numeric, categorical):
            rows.append(counts | feature | {"auc": alone.get(feature["feature"])})
    return pa.Table.from_pylist(rows, STATISTICS)


def serving_statistics(candidates: pa.Table, numeric: Sequence[str], categorical: Sequence[str]) -> pa.Table:
    """`SERVED` of the ``candidates`` of one night (as_of, person_id, platform and the features), by platform and feature.

    Of a platform with more than `SAMPLED` candidates every n-th row is looked at.
    """
    rows = []
    for platform in sorted(pc.unique(candidates["platform"]).to_pylist()):
        of_platform = candidates.filter(pc.equal(candidates["platform"], platform))
        counts = {
            "as_of": of_platform["as_of"][0].as_py(),
            "platform": platform,
            "candidates": of_platform.num_rows,
            "persons": pc.count_distinct(of_platform["person_id"]).as_py(),
        }
        every = -(-of_platform.num_rows // SAMPLED)
        sample = of_platform.take(np.arange(0, of_platform.num_rows, every))
        rows += [counts | feature for feature in _of_features(sample, numeric, categorical)]
    return pa.Table.from_pylist(rows, SERVED)


def together(shards: Sequence[pa.Table]) -> pa.Table:
    """`SERVED` of all shards of a night from that of each: sums of counts, and means of shares and of quantiles.

    A shard is a sample of persons by hash, so the mean of its quantiles estimates those of all.
    """
    rows: list[dict[str, Any]] = []
    of_feature = pa.concat_tables(shards).to_pandas().groupby(["as_of", "platform", "feature"], sort=True)
    for (as_of, platform, feature), group in of_feature:
        weights, with_values = group["candidates"], group[group["quantiles"].map(len) > 0]
        shares = {share: np.average(group[share], weights=weights) for share in ("missing", "commonest")}
        quantiles: Floats = np.empty(0)
        if len(with_values):
            quantiles = np.average(np.stack([*with_values["quantiles"]]), axis=0, weights=with_values["candidates"])
        counts = {"candidates": weights.sum(), "persons": group["persons"].sum(), "quantiles": [*quantiles]}
        rows.append({"as_of": as_of, "platform": platform, "feature": feature} | counts | shares)
    return pa.Table.from_pylist(rows, SERVED)


def _of_features(table: pa.Table, numeric: Sequence[str], categorical: Sequence[str]) -> Iterator[dict[str, Any]]:
    for name in (*numeric, *categorical):
        if name in table.column_names:
            column = table[name].combine_chunks()
            yield {
                "feature": name,
                "missing": column.null_count / len(column),
                "commonest": pc.max(column.value_counts().field("counts")).as_py() / len(column),
                "quantiles": _quantiles(column) if name in numeric else [],
            }


def _quantiles(column: pa.Array) -> list[float]:
    values: Floats = column.drop_null().cast(pa.float64()).to_numpy()
    values = values[np.isfinite(values) & (values != 0)]
    return [float(value) for value in np.quantile(values, np.linspace(0, 1, QUANTILES))] if len(values) else []
