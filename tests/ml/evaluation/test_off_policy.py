"""Off-policy estimates against a truth that a simulation knows, and by hand."""

import numpy as np
import pyarrow as pa
import pytest

from ml.evaluation.off_policy import doubly_robust, ips, snips, value_of_best

ONE = np.ones(4)


def test_by_hand() -> None:
    # weights 2, 0, 4, 0
    reward, logging = np.array([1.0, 1.0, 0.0, 1.0]), np.array([0.5, 0.5, 0.25, 1.0])
    target = np.array([1.0, 0.0, 1.0, 0.0])
    assert ips(reward, logging, target).value == pytest.approx(2 / 4)
    assert snips(reward, logging, target).value == pytest.approx(2 / 6)
    assert ips(reward, logging, target).effective_sample_size == pytest.approx(36 / 20)
    # 0.5 everywhere, corrected by 2 * (1 - 0.5) and 4 * (0 - 0.25)
    predicted, expected = np.array([0.5, 0.5, 0.25, 0.5]), 0.5 * ONE
    assert doubly_robust(reward, logging, target, predicted, expected).value == pytest.approx(0.5 + (1 - 1) / 4)
    # terms 2, 0, 0, 0: mean 0.5, standard deviation 1
    assert ips(reward, logging, target).high == pytest.approx(0.5 + 1.96 / 2, abs=1e-4)
    # around 1/3 by weight: 4/3, 0, -4/3, 0, over the mean weight of 1.5
    error = 1.96 * np.sqrt(2 * (8 / 9) ** 2 / 3) / 2
    assert snips(reward, logging, target).high == pytest.approx(1 / 3 + error, abs=1e-4)


def test_the_logging_policy_itself_is_worth_what_it_brought() -> None:
    reward, logging = np.array([1.0, 0.0, 0.0, 1.0]), np.array([0.5, 0.1, 0.4, 1.0])
    for estimate in (ips(reward, logging, logging), snips(reward, logging, logging)):
        assert estimate.value == 0.5
        assert estimate.effective_sample_size == 4


def test_where_nothing_was_shown_that_the_target_would_show_nothing_can_be_told() -> None:
    estimate = snips(ONE, ONE / 2, 0 * ONE)
    assert np.isnan(estimate.value)
    assert estimate.effective_sample_size == 0


@pytest.mark.parametrize(
    ("log", "said"),
    [
        ((ONE, ONE, ONE[:3]), "arrays of [3, 4] rows"),
        ((ONE[:0], ONE[:0], ONE[:0]), "arrays of [0] rows"),
        ((ONE, 0 * ONE, ONE), "4 of 4 logging propensities"),
        ((ONE, ONE, 2 * ONE), "4 of 4 target propensities"),
        ((ONE * np.nan, ONE, ONE), "4 of the 4 choices' numbers are NaN"),
    ],
)
def test_a_log_that_says_nothing_sensible_is_an_error(log: tuple[np.ndarray, ...], said: str) -> None:
    for estimator in (ips, snips):
        with pytest.raises(ValueError, match=r"propensities|rows|NaN") as error:
            estimator(*log)
        assert said in str(error.value)


ITEMS, CHOICES, LOGS = 4, 1_000, 400
# what an item brings in each of two kinds of lists: the logging policy likes the worst of them
WORTH = np.array([[0.1, 0.3, 0.2, 0.4], [0.5, 0.1, 0.3, 0.2]])
LOGGING = np.array([[0.6, 0.1, 0.2, 0.1], [0.1, 0.5, 0.2, 0.2]])
TARGET = np.array([[0.0, 0.0, 0.0, 1.0], [1.0, 0.0, 0.0, 0.0]])
TRUTH = float((TARGET * WORTH).sum(axis=1).mean())
MODELS = {"good": WORTH + 0.05, "wrong": 2 - WORTH}


@pytest.fixture(scope="module")
def estimated() -> dict[str, np.ndarray]:
    """By estimator the value, low and high of every log."""
    random = np.random.default_rng(7)
    rows: dict[str, list[tuple[float, float, float]]] = {}
    for _ in range(LOGS):
        kind = random.integers(2, size=CHOICES)
        item = (random.random(CHOICES)[:, None] > LOGGING[kind].cumsum(axis=1)).sum(axis=1)
        reward = (random.random(CHOICES) < WORTH[kind, item]).astype(float)
        log = reward, LOGGING[kind, item], TARGET[kind, item]
        found = {"naive": ips(reward, LOGGING[kind, item], LOGGING[kind, item]), "ips": ips(*log), "snips": snips(*log)}
        for name, model in MODELS.items():
            expected = (TARGET * model).sum(axis=1)[kind]
            found[f"doubly robust, {name}"] = doubly_robust(*log, model[kind, item], expected)
        for name, estimate in found.items():
            rows.setdefault(name, []).append((estimate.value, estimate.low, estimate.high))
    return {name: np.array(values) for name, values in rows.items()}


@pytest.mark.parametrize("name", ["ips", "snips", "doubly robust, good", "doubly robust, wrong"])
def test_an_estimate_is_right_on_average_and_its_interval_holds_the_truth_as_often_as_it_says(name, estimated) -> None:
    value, low, high = estimated[name].T
    assert value.mean() == pytest.approx(TRUTH, abs=4 * value.std() / np.sqrt(LOGS))
    covered = ((low <= TRUTH) & (high >= TRUTH)).mean()
    # 95%, give or take four standard errors of a share of 400 logs
    assert covered == pytest.approx(0.95, abs=4 * np.sqrt(0.95 * 0.05 / LOGS))


def test_the_plain_mean_of_the_log_never_finds_the_truth(estimated) -> None:
    _, low, high = estimated["naive"].T
    assert ((low <= TRUTH) & (high >= TRUTH)).mean() < 0.01


def test_a_good_model_and_self_normalising_narrow_the_interval(estimated) -> None:
    width = {name: float((rows[:, 2] - rows[:, 1]).mean()) for name, rows in estimated.items()}
    assert width["doubly robust, good"] < width["ips"] < width["doubly robust, wrong"]
    assert width["snips"] < width["ips"]


def choices(**changes: list[object]) -> pa.Table:
    """Two lists: of the first, of two items the likelier was shown and taken; of the second the unlikelier, not taken."""
    columns = {
        "person_id": ["p", "p", "q", "q"],
        "platform": ["shop"] * 4,
        "item_id": ["a", "b", "a", "b"],
        "propensity": [0.8, 0.2, 0.5, 0.5],
        "is_shown": [True, False, False, True],
        "reward": [1.0, 1.0, 0.0, 0.0],
    }
    return pa.table(columns | changes)


def test_the_best_of_each_list_is_valued() -> None:
    values = value_of_best(choices(), np.array([0.5, 0.3, 0.1, 0.2]))
    assert values["logged"].value == 0.5
    assert values["ips"].value == pytest.approx((1 / 0.8 + 0) / 2)
    assert values["snips"].value == pytest.approx((1 / 0.8) / (1 / 0.8 + 1 / 0.5))
    # 0.5 and 0.2 expected; corrected by (1 - 0.5) / 0.8 and (0 - 0.2) / 0.5
    assert values["doubly_robust"].value == pytest.approx((0.5 + 0.5 / 0.8 + 0.2 - 0.2 / 0.5) / 2)


def test_a_best_item_that_was_not_shown_weighs_nothing_and_ties_go_to_the_smaller_id() -> None:
    values = value_of_best(choices(), np.array([0.3, 0.5, 0.2, 0.2]))
    assert values["ips"].effective_sample_size == 0
    assert values["doubly_robust"].value == pytest.approx((0.5 + 0.2) / 2)


def test_a_list_of_which_nothing_or_two_were_shown_is_an_error() -> None:
    for shown in ([False, False, False, True], [True, True, False, True]):
        with pytest.raises(ValueError, match="one row of each list was shown"):
            value_of_best(choices(is_shown=shown), np.ones(4))
