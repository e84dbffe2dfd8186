import numpy as np
import pyarrow as pa
import pytest

from ml.evaluation.canary import aucs_alone

ROWS = 2_000


def examples(**features: object) -> pa.Table:
    labels = np.arange(ROWS) % 20 == 0
    return pa.table(
        {"person_id": [f"p{row // 20}" for row in range(ROWS)], "label": pa.array(labels.astype("int32")), **features}
    )


def label_and_noise(noise: float) -> np.ndarray:
    return (np.arange(ROWS) % 20 == 0) + np.random.default_rng(1).normal(0, noise, ROWS)


@pytest.mark.parametrize(
    ("feature", "expected"),
    [
        (label_and_noise(0.2), 1.0),
        (-label_and_noise(0.2), 0.0),
        (label_and_noise(1.0), 0.76),  # two normal distributions one deviation apart: the first below the second
        (np.zeros(ROWS), 0.5),
        (pa.array([1.0 if row % 20 == 0 else None for row in range(ROWS)], pa.float64()), 1.0),
        (pa.array([None if row % 20 == 0 else -1e9 for row in range(ROWS)], pa.float64()), 0.0),
    ],
)
def test_a_number_is_its_own_score_and_a_missing_one_the_lowest(feature: object, expected: float) -> None:
    assert aucs_alone(examples(feature=feature), ["feature"], []) == {"feature": pytest.approx(expected, abs=0.05)}


@pytest.mark.parametrize(
    ("feature", "expected"),
    [
        (pa.array(["chosen" if row % 20 == 0 else None for row in range(ROWS)]), 1.0),
        (pa.array(["unique"] * ROWS), 0.5),
    ],
)
def test_a_category_counts_for_what_it_means_among_other_persons(feature: pa.Array, expected: float) -> None:
    assert aucs_alone(examples(feature=feature), [], ["feature"]) == {"feature": pytest.approx(expected, abs=0.02)}


def test_who_it_is_says_nothing_of_anybody_else() -> None:
    people = [f"p{row // 20}" for row in range(ROWS)]
    takers = pa.array([int(row // 20 % 4 == 0 and row % 2) for row in range(ROWS)])
    table = pa.table({"person_id": people, "label": takers, "feature": people})
    assert aucs_alone(table, [], ["feature"]) == {"feature": pytest.approx(0.5, abs=0.02)}


def test_a_few_persons_judge_no_feature() -> None:
    table = examples(feature=label_and_noise(0.2))
    assert aucs_alone(table.slice(0, 19 * 20), ["feature"], []) == {}
    assert aucs_alone(table.slice(0, 20 * 20), ["feature"], []) == {"feature": pytest.approx(1, abs=0.05)}
    avid = table.set_column(0, "person_id", pa.array(["p"] * ROWS))
    assert aucs_alone(avid, ["feature"], []) == {}


def test_a_feature_that_is_not_there_is_for_another_rule_to_miss() -> None:
    assert aucs_alone(examples(), ["feature"], ["other"]) == {}
