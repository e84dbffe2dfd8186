from collections.abc import Collection
from datetime import date

import numpy as np
import pyarrow as pa
import pytest

from expectations import training_data
from expectations.gate import GateResult, run_gate

ROWS = 400
COLUMN = "a column for each declared feature, of numbers where it is numeric"


def examples(rows: int = ROWS, **change) -> pa.Table:
    number = np.arange(rows)
    columns = {
        "as_of": pa.array(np.datetime64("2000-12-08") - 7 * (number % 3)),
        "person_id": pa.array([f"p{i // 20}" for i in number]),
        "platform": pa.array(["shop"] * rows),
        "item_id": pa.array([f"i{i}" for i in number]),
        "label": pa.array((number % 20 == 0).astype("int32")),
        "affinity": pa.array(number / 7.0),
        "days_since": pa.array([None if i % 3 == 0 else float(i) for i in number], pa.float64()),
        "category": pa.array([f"c{i % 5}" for i in number]),
    }
    return pa.table(columns | change)


def check(table: pa.Table, candidate_recall: float = 0.4) -> GateResult:
    frame = training_data.frame(table, candidate_recall=candidate_recall)
    return run_gate("training_data", training_data.suite(), frame, as_of=date(2000, 12, 15))


def check_features(table: pa.Table, may_be_constant: Collection[str] = ()) -> GateResult:
    frame = training_data.frame_of_features(
        table, ["affinity", "days_since"], ["category"], may_be_constant=may_be_constant
    )
    return run_gate("training_data", training_data.suite_of_features(), frame, as_of=date(2000, 12, 15))


def replaced(column: str, row: int, value) -> pa.Table:
    table = examples()
    values = table[column].to_pylist()
    values[row] = value
    return table.set_column(table.schema.get_field_index(column), column, pa.array(values, table[column].type))


def test_good_examples_pass():
    for result in (check(examples()), check_features(examples())):
        assert result.verdict == "pass", result.failed


@pytest.mark.parametrize(
    ("broken", "verdict", "description"),
    [
        (examples(0), "stop", "at least one training example"),
        (pa.concat_tables([examples(), examples().slice(0, 1)]), "stop", "one example per"),
        (replaced("person_id", 3, None), "stop", "a value of person_id"),
        (replaced("label", 3, None), "stop", "a value of label"),
        (replaced("label", 3, 2), "stop", "labels of 0 or 1"),
        (examples(label=pa.array([0] * ROWS)), "stop", "positive examples"),
        (examples(label=pa.array([1] * ROWS)), "stop", "positive examples"),
        (examples(as_of=pa.array([date(2000, 12, 8)] * ROWS)), "stop", "at least two snapshots"),
        (
            examples(as_of=pa.array([date(2000, 12, 1), date(2000, 12, 8)] * (ROWS // 2))),
            "warn",
            "at least three snapshots",
        ),
    ],
)
def test_each_rule_is_seen(broken, verdict, description):
    result = check(broken)
    assert result.verdict == verdict, result.failed
    assert any(description in failed.description for failed in result.failed)


@pytest.mark.parametrize(
    ("broken", "verdict", "description", "observed"),
    [
        (replaced("affinity", 3, float("inf")), "stop", "finite values (or none) in each feature", "affinity (1)"),
        (replaced("affinity", 3, float("-inf")), "stop", "finite values (or none) in each feature", "affinity (1)"),
        (replaced("affinity", 3, float("nan")), "stop", "finite values (or none) in each feature", "affinity (1)"),
        (examples().drop_columns(["affinity"]), "stop", COLUMN, "affinity"),
        (examples(affinity=pa.array(["1.5"] * (ROWS - 1) + ["x"])), "stop", COLUMN, "affinity"),
        (examples(affinity=pa.array([1.0] * ROWS)), "warn", "more than one value of each feature", "affinity (1)"),
        (
            examples(days_since=pa.nulls(ROWS, pa.float64())),
            "warn",
            "more than one value of each feature",
            "days_since (0)",
        ),
        (examples(category=pa.array(["c"] * ROWS)), "warn", "more than one value of each feature", "category (1)"),
    ],
)
def test_each_rule_names_the_feature(broken, verdict, description, observed):
    result = check_features(broken)
    assert result.verdict == verdict
    assert [(failed.description, failed.observed) for failed in result.failed] == [(description, observed)]


def test_a_feature_that_may_be_constant_is_no_matter():
    same = pa.array([1.0] * ROWS)
    [failed] = check_features(examples(affinity=same, days_since=same), ["affinity"]).failed
    assert failed.observed == "days_since (1)"


def test_poor_candidates_warn():
    result = check(examples(), candidate_recall=0.05)
    assert result.verdict == "warn"
    assert [failed.observed for failed in result.failed] == ["5.00%"]


def test_unknown_recall_warns():
    assert check(examples(), candidate_recall=float("nan")).verdict == "warn"


@pytest.mark.parametrize(("days", "verdict"), [(18, "warn"), (19, "pass")])
def test_a_short_history_warns_and_says_until_when(days, verdict):
    suite = training_data.suite_of_short_history(19, date(1997, 10, 9))
    result = run_gate("training_data", suite, pa.table({"days_of_history": [days]}), as_of=date(1997, 10, 8))
    assert result.verdict == verdict
    [check] = result.checks
    assert (check.description, check.observed) == ("at least 19 days of events", str(days))
    assert "1997-10-09" in check.remedy


def test_what_was_observed_names_no_person():
    broken = pa.concat_tables([examples(), examples().slice(0, 1)])
    assert "p0" not in check(broken).model_dump_json()
