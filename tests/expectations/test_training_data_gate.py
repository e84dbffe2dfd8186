from datetime import date

import numpy as np
import pyarrow as pa
import pytest

from expectations import training_data
from expectations.gate import GateResult, run_gate

ROWS = 400


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
    suite = training_data.suite(["affinity", "days_since"], ["category"])
    frame = training_data.frame(table, candidate_recall=candidate_recall)
    return run_gate("training_data", suite, frame, as_of=date(2000, 12, 15))


def replaced(column: str, row: int, value) -> pa.Table:
    table = examples()
    values = table[column].to_pylist()
    values[row] = value
    return table.set_column(table.schema.get_field_index(column), column, pa.array(values, table[column].type))


def test_good_examples_pass():
    result = check(examples())
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
        (replaced("affinity", 3, float("inf")), "stop", "finite values (or none) in feature affinity"),
        (replaced("affinity", 3, float("-inf")), "stop", "finite values (or none) in feature affinity"),
        (replaced("affinity", 3, float("nan")), "stop", "finite values (or none) in feature affinity"),
        (examples().drop_columns(["affinity"]), "stop", "feature affinity"),
        (examples(as_of=pa.array([date(2000, 12, 8)] * ROWS)), "stop", "at least two snapshots"),
        (
            examples(as_of=pa.array([date(2000, 12, 1), date(2000, 12, 8)] * (ROWS // 2))),
            "warn",
            "at least three snapshots",
        ),
        (examples(affinity=pa.array([1.0] * ROWS)), "warn", "more than one value of feature affinity"),
        (examples(days_since=pa.nulls(ROWS, pa.float64())), "warn", "more than one value of feature days_since"),
        (examples(category=pa.array(["c"] * ROWS)), "warn", "more than one value of feature category"),
    ],
)
def test_each_rule_is_seen(broken, verdict, description):
    result = check(broken)
    assert result.verdict == verdict, result.failed
    assert any(description in failed.description for failed in result.failed)


def test_a_feature_that_may_be_constant_is_no_matter():
    suite = training_data.suite(["affinity", "days_since"], ["category"], may_be_constant=["affinity"])
    same = pa.array([1.0] * ROWS)
    broken = training_data.frame(examples(affinity=same, days_since=same), candidate_recall=0.5)
    [failed] = run_gate("training_data", suite, broken, as_of=date(2000, 12, 15)).failed
    assert "days_since" in failed.description


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


def check_features(newest: dict[str, float], older: dict[str, float]) -> GateResult:
    frame = training_data.frame_of_features(newest, older)
    return run_gate("training_data", training_data.suite_of_features(), frame, as_of=date(2000, 12, 15))


@pytest.mark.parametrize("older", [{"affinity": 0.6, "price": 0.3}, {}])
def test_strong_features_that_are_honest_pass(older):
    assert check_features({"affinity": 0.9, "price": 0.1}, older).verdict == "pass"


@pytest.mark.parametrize(("auc", "said"), [(0.99, "taken_later (0.99)"), (0.01, "taken_later (0.01)")])
def test_a_feature_that_knows_the_labels_stops_by_its_name(auc, said):
    result = check_features({"affinity": 0.7, "taken_later": auc}, {"affinity": 0.7, "taken_later": 0.6})
    assert result.verdict == "stop"
    [failed] = result.failed
    assert failed.observed == said
    assert "of the newest labelled snapshot" in failed.description
    assert "known_by" in failed.remedy


def test_a_feature_that_knew_the_labels_of_older_cuts_stops():
    result = check_features({"taken_later": 0.6}, {"taken_later": 0.99})
    assert [failed.observed for failed in result.failed] == ["taken_later (0.99)"]
    assert "of the older snapshots" in result.failed[0].description


def test_too_few_labels_for_any_feature_stop_nothing():
    assert check_features({}, {}).verdict == "pass"
