"""From a search to the setting that uses it, and the DAG that starts one."""

import shlex
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from dags.steps.learn.train import params_of
from dags.steps.learn.tune import verdict
from dags.steps.night import Night
from infra.settings import Settings, TunedParams
from ml.ranking.training import TrainingParams
from ml.ranking.tuning import Gain, Trial, Tuned, search_space

AS_OF = date(2000, 12, 15)
BEST = TrainingParams(epochs=4, hidden=(64, 32), wide_l1=0.1 + 0.2, loss="listwise", seed=20001215)


def found(best: int, gain: Gain) -> Tuned:
    trials = (Trial(1, TrainingParams(), 0.2, 1.0), Trial(2, BEST, 0.21, 1.0))
    return Tuned(trials, trials[best - 1], gain, {})


def test_the_line_that_is_printed_makes_nights_train_with_the_best(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("CROSSREC_HOME", str(tmp_path))
    before = params_of(Night(AS_OF))
    [assignment] = shlex.split(verdict(found(2, Gain(0.01, 0.002, 0.02))).splitlines()[-1])
    monkeypatch.setenv(*assignment.split("=", 1))
    assert params_of(Night(AS_OF)) == BEST != before


def test_the_setting_knows_what_is_searched() -> None:
    assert {*TunedParams.model_fields} == {*search_space(TrainingParams())}


def test_what_is_not_set_keeps_its_default() -> None:
    settings = Settings(epochs=9, training_params={"wide_l1": 0.5})
    assert params_of(Night(AS_OF, settings=settings)) == TrainingParams(
        epochs=9, wide_l1=0.5, seed=settings.seed, loss=settings.loss
    )
    tuned = Settings(epochs=9, training_params={"epochs": 2})
    assert params_of(Night(AS_OF, settings=tuned)).epochs == 2


def test_a_gain_that_may_be_chance_is_called_so_and_none_sets_nothing() -> None:
    assert "+0.0100 NDCG@10 (-0.0020 to +0.0220)" in verdict(found(2, Gain(0.01, -0.002, 0.022)))
    assert "which may be chance" in verdict(found(2, Gain(0.01, -0.002, 0.022)))
    assert "chance" not in verdict(found(2, Gain(0.01, 0.002, 0.02)))
    assert verdict(found(1, Gain(0, 0, 0))).endswith("there is nothing to set")


def test_the_dag_hands_its_params_to_the_step(dag_bag: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    dag = dag_bag.dags["tuning"]
    started: list[tuple[Any, ...]] = []
    monkeypatch.setenv("CROSSREC_HOME", str(tmp_path))
    monkeypatch.setattr(
        "dags.steps.learn.tune.tune", lambda night, *limits: started.append((night.as_of, night.run_id, *limits))
    )
    monkeypatch.setattr("dags.steps.learn.tune.newest_built", lambda settings: date(2000, 12, 16))
    run = dag.get_task("tune").python_callable
    run(params=dag.params.dump() | {"as_of": "2000-12-15", "trials": 2}, run_id="manual")
    run(params=dag.params.dump(), run_id="manual")
    assert started == [(AS_OF, "manual", 2, 60), (date(2000, 12, 16), "manual", 30, 60)]
    assert dag.schedule is None
