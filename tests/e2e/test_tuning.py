"""A search on a real night's examples: what MLflow keeps of it."""

import json

import duckdb
import mlflow
import pytest

from dags.steps.learn.train import params_of
from dags.steps.learn.tune import TuningError, tune
from tests.e2e.conftest import FIRST, SECOND, NightOf


def test_every_trial_is_a_run_below_the_search_and_the_held_out_snapshot_is_not_looked_at(night_of: NightOf) -> None:
    night = night_of(SECOND)
    with duckdb.connect(str(night.settings.warehouse_path)) as warehouse:
        [(spoilt,)] = warehouse.execute(
            "update marts.training_examples set label = null"  # neither training nor a metric accepts that
            " where as_of in (select as_of from marts.snapshots where role = 'evaluation')"
        ).fetchall()
    assert spoilt > 0
    tuned = tune(night, trials=2, minutes=10)
    assert tuned.trials[0].params == params_of(night)

    client = mlflow.MlflowClient(night.settings.mlflow_uri)
    experiment = client.get_experiment_by_name("crossrec").experiment_id
    [search] = client.search_runs([experiment], "tags.kind = 'tuning'")
    assert search.info.run_name == f"tuning {SECOND}"
    trials = client.search_runs(
        [experiment], f"tags.`mlflow.parentRunId` = '{search.info.run_id}'", order_by=["start_time"]
    )
    assert [(trial.info.run_name, trial.info.status) for trial in trials] == [
        ("trial 1", "FINISHED"),
        ("trial 2", "FINISHED"),
    ]
    assert [trial.data.metrics["ndcg_at_10"] for trial in trials] == [trial.ndcg_at_10 for trial in tuned.trials]
    assert {"seconds", "ndcg_at_10"} == trials[0].data.metrics.keys()
    assert trials[0].data.params["epochs"] == str(night.settings.epochs)
    assert search.data.metrics["ndcg_at_10"] == tuned.best.ndcg_at_10
    best = json.loads(mlflow.artifacts.load_text(f"{search.info.artifact_uri}/best_params.json"))
    assert tuple(best["hidden"]) == tuned.best.params.hidden
    charts = client.list_artifacts(search.info.run_id, "charts")
    assert {chart.path for chart in charts if chart.file_size} == {"charts/trials.png", "charts/importances.png"}


def test_a_night_that_the_warehouse_no_longer_holds_is_refused(night_of: NightOf) -> None:
    with pytest.raises(TuningError, match=f"the night of {SECOND}. Received: {FIRST}. Remedy: tune on {SECOND}"):
        tune(night_of(FIRST), trials=1, minutes=1)
