"""A recorded comparison as the table that `ml.evaluation` works with."""

import pyarrow as pa

from dags.steps.records import Comparison
from ml.evaluation.comparison import SCHEMA


def comparison_table(comparison: Comparison) -> pa.Table:
    """The metrics as `ml.evaluation.comparison.compare` returns them."""
    return pa.Table.from_pylist([row.model_dump() for row in comparison.metrics], SCHEMA)
