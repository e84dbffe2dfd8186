from datetime import date

import pyarrow as pa
import pytest

from ml.evaluation.snapshots import QUANTILES, STATISTICS, snapshot_statistics

OLD, NEW = date(2000, 11, 30), date(2000, 12, 7)


def statistics(**features: list[object]) -> dict[tuple[date, str], dict[str, object]]:
    examples = pa.table(
        {"as_of": [OLD, OLD, OLD, NEW], "person_id": ["a", "a", "b", "a"], "label": [1, 0, 1, 0], **features}
    )
    found = snapshot_statistics(examples, ["price"], ["category"])
    assert found.schema == STATISTICS
    return {(row["as_of"], row["feature"]): row for row in found.to_pylist()}


def test_each_snapshot_and_feature_has_a_row() -> None:
    found = statistics(price=[0.0, 5.0, None, 0.0], category=["x", None, None, "x"])
    assert [*found] == [(OLD, "price"), (OLD, "category"), (NEW, "price"), (NEW, "category")]
    old = found[OLD, "price"]
    assert (old["examples"], old["persons"], old["positives"]) == (3, 2, 2)
    assert old["missing"] == pytest.approx(1 / 3)
    assert found[OLD, "category"]["commonest"] == pytest.approx(2 / 3), "null is a value too"
    assert found[OLD, "category"]["quantiles"] == []
    assert old["auc"] is None, "too few positives"


def test_quantiles_are_of_the_values_other_than_null_and_0() -> None:
    found = statistics(price=[0.0, 1.0, 3.0, 0.0], category=["x"] * 4)
    quantiles = found[OLD, "price"]["quantiles"]
    assert isinstance(quantiles, list)
    assert (len(quantiles), quantiles[0], quantiles[50], quantiles[-1]) == (QUANTILES, 1, 2, 3)
    assert found[NEW, "price"]["quantiles"] == []
