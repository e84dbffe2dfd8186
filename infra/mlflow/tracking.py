"""The tracking store: the project's experiment, and runs that are no version of their own."""

import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pyarrow as pa
from matplotlib.figure import Figure
from mlflow.entities import Metric
from mlflow.exceptions import MlflowException
from sqlalchemy import event
from sqlalchemy.engine import Engine

from infra.mlflow import addresses
from infra.mlflow.addresses import EXPERIMENT, artifact_root, embedded_database, follow_home, patient_uri
from infra.mlflow.records import LoggedTrial, ModelVersion
from infra.settings import Settings

logging.getLogger("mlflow").setLevel(logging.ERROR)  # progress and advice; what fails raises


@event.listens_for(Engine, "before_cursor_execute", retval=True)
def _wait_longer(
    connection: Any, cursor: Any, statement: str, parameters: Any, context: Any, executemany: bool
) -> tuple[str, Any]:
    """Let SQLite wait for another process as long as everywhere here. MLflow sets twenty seconds in each of its sessions."""
    if statement.startswith("PRAGMA busy_timeout"):
        statement = f"PRAGMA busy_timeout = {round(1000 * addresses.SECONDS_TO_WAIT)}"
    return statement, parameters


class Tracking:
    """The tracking store that `settings` name. Creates the folders of the embedded default.

    A home that was moved or copied is put right when it is opened (`infra.mlflow.addresses`).
    """

    def __init__(self, settings: Settings) -> None:
        database = embedded_database(settings)
        if database:
            database.parent.mkdir(parents=True, exist_ok=True)
        follow_home(settings)
        uri = patient_uri(settings)
        mlflow.set_tracking_uri(uri)
        mlflow.set_registry_uri(uri)
        self._client = mlflow.MlflowClient(uri, uri)
        self._experiment_id = self._experiment(artifact_root(database).as_uri() if database else None)

    def _experiment(self, artifacts: str | None) -> str:
        if experiment := self._client.get_experiment_by_name(EXPERIMENT):
            return str(experiment.experiment_id)
        try:
            return self._client.create_experiment(EXPERIMENT, artifact_location=artifacts)
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":  # another task was faster
                raise
            return self._experiment(artifacts)

    @contextmanager
    def _run(self, name: str, kind: str, tags: Mapping[str, str], nested: bool = False) -> Iterator[mlflow.ActiveRun]:
        """A run that is finished at the end, or failed where something raises."""
        with mlflow.start_run(
            experiment_id=self._experiment_id, run_name=name, nested=nested, tags={**tags, "kind": kind}
        ) as run:
            yield run

    def log_tuning(
        self,
        trials: Sequence[LoggedTrial],
        best: Mapping[str, object],
        charts: Mapping[str, Figure],
        *,
        as_of: date,
        metrics: Mapping[str, float],
        tags: Mapping[str, str],
    ) -> str:
        """Logs one hyper-parameter search as a run with a child run for each trial, and returns the run's id.

        `best` are the parameters to train with. They are kept as `best_params.json`.
        """
        with self._run(f"tuning {as_of}", "tuning", {"as_of": as_of.isoformat(), **tags}) as run:
            for number, trial in enumerate(trials, 1):
                with self._run(f"trial {number}", "trial", {}, nested=True) as child:
                    mlflow.log_params(dict(trial.params))
                    mlflow.log_metrics(dict(trial.metrics))
                if trial.failed:
                    self._client.set_terminated(child.info.run_id, "FAILED")
            mlflow.log_metrics(dict(metrics))
            mlflow.log_dict(dict(best), "best_params.json")
            for name, figure in charts.items():
                mlflow.log_figure(figure, f"charts/{name}.png")
        return str(run.info.run_id)

    def log_evaluation(self, version: ModelVersion, comparison: pa.Table, as_of: date) -> None:
        """Adds a comparison (contender, against, platform, cohort, metric, value, low, high, ...) to the version's run.

        A contender's own values become metrics `<contender>/<platform>/<metric>` at step YYYYMMDD. The whole table is a CSV
        artifact. It alone has the cohorts, because MLflow refuses a name like "56+".
        """
        step, now = int(as_of.strftime("%Y%m%d")), int(time.time() * 1000)
        metrics = [
            Metric(f"{row['contender']}/{row['platform']}/{row['metric']}", row["value"], now, step)
            for row in comparison.to_pylist()
            if row["against"] is None and row["cohort"] == "all" and np.isfinite(row["value"])
        ]
        self._client.log_batch(version.run_id, metrics)
        self._client.log_text(version.run_id, comparison.to_pandas().to_csv(index=False), f"evaluation/{as_of}.csv")

    def log_report(self, version: ModelVersion, page: Path) -> None:
        """Adds a night's page to the run of the version that scored it."""
        self._client.log_artifact(version.run_id, str(page), "reports")
