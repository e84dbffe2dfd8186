"""The search: what is tried, on which snapshots, and that it is the same every time."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from ml.ranking import tuning
from ml.ranking.network.features import FeatureSpec
from ml.ranking.network.scoring import score
from ml.ranking.training import TrainingParams, train
from ml.ranking.tuning import RANGES, Tuned, search_space, tune

Examples = Callable[[int, int], pa.Table]
SERVING = TrainingParams(epochs=2, batch_size=256, hidden=(8,), embedding_dim=4, loss="listwise", seed=5)
DISCOUNTS = 1 / np.log2(np.arange(2, 12))


@pytest.fixture(scope="module")
def examples(make_examples: Examples) -> pa.Table:
    """Two snapshots, each of 40 lists of 20 on two platforms."""
    table = make_examples(1_600, 1)
    lists = np.arange(table.num_rows) // 20
    keys = {
        "as_of": np.where(lists < 40, "2000-11-30", "2000-12-07"),
        "person_id": [f"P{number:02}" for number in lists],
        "platform": np.where(lists % 2, "shop", "forum"),
        "item_id": [f"i{number}" for number in range(table.num_rows)],
    }
    for name, values in keys.items():
        table = table.append_column(name, pa.array(values))
    return table


@pytest.fixture(scope="module")
def tuned(examples: pa.Table, spec: FeatureSpec) -> Tuned:
    return tune(examples, spec, SERVING, 3)


def test_the_first_trial_is_what_serves_and_the_best_is_never_worse(tuned: Tuned) -> None:
    assert [trial.number for trial in tuned.trials] == [1, 2, 3]
    assert tuned.trials[0].params == SERVING
    found = [trial.ndcg_at_10 or 0.0 for trial in tuned.trials]
    assert tuned.best.ndcg_at_10 == max(found)
    assert tuned.gain.value == pytest.approx(max(found) - found[0])
    assert tuned.gain.low <= tuned.gain.value <= tuned.gain.high
    assert len({trial.params for trial in tuned.trials}) == 3
    assert {(trial.params.loss, trial.params.seed) for trial in tuned.trials} == {("listwise", 5)}
    assert tuned.importances.keys() == {*RANGES, "hidden"}
    assert sum(tuned.importances.values()) == pytest.approx(1)


def test_the_same_examples_give_the_same_trials_up_to_the_last_that_time_allows(
    tuned: Tuned, examples: pa.Table, spec: FeatureSpec
) -> None:
    again, short = tune(examples, spec, SERVING, 3), tune(examples, spec, SERVING, 3, seconds=0)

    def told(found: Tuned) -> list[object]:
        return [replace(trial, seconds=0) for trial in found.trials]

    assert told(again) == told(tuned)
    assert (again.importances, again.gain) == (tuned.importances, tuned.gain)
    assert told(short) == told(tuned)[:1]
    assert (short.best.number, short.importances, short.gain.value) == (1, {}, 0)


def test_the_newest_snapshot_judges_and_teaches_nothing(examples: pa.Table, spec: FeatureSpec, tuned: Tuned) -> None:
    older, newest = examples.slice(0, 800), examples.slice(800)
    scored = newest.append_column("score", pa.array(score(train(older, None, spec, SERVING).model, spec, newest)))
    ndcg = (
        scored.to_pandas()
        .sort_values("score", ascending=False)
        .groupby("person_id")["label"]
        .agg(lambda labels: labels[:10] @ DISCOUNTS / DISCOUNTS[: min(labels.sum(), 10)].sum())
    )
    assert tuned.trials[0].ndcg_at_10 == pytest.approx(ndcg.mean())


def test_training_that_diverges_fails_its_trial_alone(
    examples: pa.Table, spec: FeatureSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    def diverging(older: pa.Table, holdout: None, spec: FeatureSpec, params: TrainingParams) -> object:
        if params != SERVING:
            raise ValueError("training diverged in epoch 1")
        return train(older, holdout, spec, params)

    monkeypatch.setattr(tuning, "train", diverging)
    heard: list[tuple[int, int]] = []
    found = tune(examples, spec, SERVING, 2, on_trial=lambda trial, best: heard.append((trial.number, best.number)))
    assert [trial.ndcg_at_10 is None for trial in found.trials] == [False, True]
    assert heard == [(1, 1), (2, 1)]
    assert found.best == found.trials[0]


def test_what_teaches_nothing_with_what_serves_is_an_error(examples: pa.Table, spec: FeatureSpec) -> None:
    with pytest.raises(ValueError, match=r"two training snapshots or more.*Received: 800 examples of 1 snapshots"):
        tune(examples.slice(0, 800), spec, SERVING, 1)
    with pytest.raises(ValueError, match="lacks 1 of the model's 5 feature columns"):
        tune(examples.drop_columns(["noise"]), spec, SERVING, 1)


def test_the_space_always_holds_what_serves() -> None:
    far = TrainingParams(epochs=50, hidden=(7,), wide_l1=0.001, deep_learning_rate=0.9)
    space = search_space(far)
    assert (space["epochs"].low, space["epochs"].high) == (1, 50)
    assert (space["wide_l1"].low, space["wide_l1"].high) == (0.001, 20.0)
    assert space["deep_learning_rate"].high == 0.9
    assert "[7]" in space["hidden"].choices
    assert "[7]" not in search_space(TrainingParams())["hidden"].choices
