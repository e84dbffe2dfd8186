"""Model versions, their runs and their aliases in MLflow: the only code that touches it.

A version is registered as alias `challenger`; `promote` gives it the alias `champion`, which scoring uses. The logged
model carries two flavours: `tensorflow` (the Keras model itself) and a pyfunc that scores a frame of raw columns.
"""

import math
import os
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from importlib.metadata import version as installed
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zipfile import BadZipFile

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")  # before the import, which would start it

import mlflow
import mlflow.artifacts
import mlflow.pyfunc
import mlflow.utils.logging_utils
import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from mlflow.data.pandas_dataset import from_pandas
from mlflow.entities import Metric
from mlflow.entities.model_registry import ModelVersion as MlflowVersion
from mlflow.exceptions import MlflowException
from mlflow.models import Model, ModelSignature
from mlflow.types import ColSpec, DataType, Schema, TensorSpec

from infra.settings import Settings

if TYPE_CHECKING:  # TensorFlow takes seconds to import, and most of the registry does without it
    import keras

mlflow.utils.logging_utils.disable_logging()  # type: ignore[no-untyped-call]  # progress; what fails raises
EXPERIMENT = "crossrec"
CHALLENGER, CHAMPION = "challenger", "champion"
REQUIREMENTS = ["keras", "mlflow", "numpy", "pandas", "pyarrow"]
_SCORING_BATCH = 65_536


@dataclass(frozen=True)
class ModelVersion:
    """A registered version; `tags` hold its lineage (as_of, fingerprint, ...)."""

    name: str
    version: int
    run_id: str
    tags: Mapping[str, str] = field(default_factory=dict)

    @property
    def uri(self) -> str:
        return f"models:/{self.name}/{self.version}"


@dataclass(frozen=True)
class LoggedData:
    """A table the model saw: some of its rows, where the whole lies, and the digest of the whole."""

    name: str
    context: str  # training, holdout
    sample: pa.Table
    source: str
    digest: str


@dataclass(frozen=True)
class LoggedTrial:
    """One trial of a hyper-parameter search."""

    params: Mapping[str, object]
    metrics: Mapping[str, float]
    failed: bool


class RegistryError(RuntimeError):
    """A registered version cannot be read back; the message says which, and what to do."""


class Registry:
    """The tracking store and model registry that `settings` name. Creates the folders of the embedded default."""

    def __init__(self, settings: Settings, name: str = "") -> None:
        self.name = name or settings.model_name
        artifacts = None
        if settings.mlflow_uri.startswith("sqlite:///"):
            Path(settings.mlflow_uri.removeprefix("sqlite:///")).parent.mkdir(parents=True, exist_ok=True)
            artifacts = (settings.home / "mlflow" / "artifacts").absolute().as_uri()
        mlflow.set_tracking_uri(settings.mlflow_uri)
        mlflow.set_registry_uri(settings.mlflow_uri)
        self._client = mlflow.MlflowClient(settings.mlflow_uri, settings.mlflow_uri)
        self._experiment_id = self._experiment(artifacts)

    def _experiment(self, artifacts: str | None) -> str:
        if experiment := self._client.get_experiment_by_name(EXPERIMENT):
            return str(experiment.experiment_id)
        try:
            return self._client.create_experiment(EXPERIMENT, artifact_location=artifacts)
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":  # another task was faster
                raise
            return self._experiment(artifacts)

    # --- writing

    def log_training(
        self,
        model: "keras.Model",
        spec: str,
        *,
        as_of: date,
        fingerprint: str,
        params: Mapping[str, object],
        history: Sequence[Mapping[str, float | None]],
        datasets: Sequence[LoggedData],
        tags: Mapping[str, str],
    ) -> ModelVersion:
        """Logs one training as a run and registers its model as challenger.

        `spec` is the model's feature list as JSON; `history` has one mapping by epoch with the key `epoch`;
        `fingerprint` identifies data, code and parameters together, and `tags` carry the rest of the lineage. The first
        of `datasets` gives the input example.
        """
        lineage = {"as_of": as_of.isoformat(), "fingerprint": fingerprint, **tags}
        with mlflow.start_run(
            experiment_id=self._experiment_id, run_name=f"train {as_of}", tags={**lineage, "kind": "training"}
        ) as run:
            mlflow.log_params(dict(params))
            for epoch in history:
                measured = {name: value for name, value in epoch.items() if name != "epoch" and value is not None}
                mlflow.log_metrics(measured, step=int(epoch["epoch"] or 0))
            mlflow.log_figure(loss_curves(history), "curves/loss.png")
            mlflow.log_text(spec, "features.json")
            with warnings.catch_warnings():  # two of MLflow's, about every source and every integer column
                warnings.simplefilter("ignore", UserWarning)
                for data in datasets:
                    sample = from_pandas(data.sample.to_pandas(), data.source, name=data.name, digest=data.digest)
                    mlflow.log_input(sample, context=data.context)
            info = Model.log(
                None,
                sys.modules[__name__],
                name="model",
                registered_model_name=self.name,
                tags=lineage,
                flavor_name="tensorflow",
                metadata={"features": spec},
                keras_model=model,
                input_example=pd.DataFrame(_raw_columns(model, datasets[0].sample.slice(0, 5).to_pandas())),
            )
        version = ModelVersion(self.name, int(info.registered_model_version), run.info.run_id, lineage)
        self.nominate(version)
        return version

    def log_linkage(
        self,
        files: Mapping[str, bytes],
        charts: Mapping[str, Figure],
        *,
        as_of: date,
        metrics: Mapping[str, float],
        tags: Mapping[str, str],
    ) -> ModelVersion:
        """Logs one training of a linkage model as a run, and registers its ``files`` as a version (challenger)."""
        lineage = {"as_of": as_of.isoformat(), **tags}
        with (
            mlflow.start_run(
                experiment_id=self._experiment_id,
                run_name=f"{self.name} {as_of}",
                tags={**lineage, "kind": "linkage training"},
            ) as run,
            tempfile.TemporaryDirectory() as folder,
        ):
            mlflow.log_metrics(dict(metrics))
            for name, figure in charts.items():
                mlflow.log_figure(figure, f"charts/{name}")
            for name, content in files.items():
                Path(folder, name).write_bytes(content)
            mlflow.log_artifacts(folder, "linkage")
        if not self._client.search_registered_models(f"name = '{self.name}'"):
            self._client.create_registered_model(self.name)
        source = f"{run.info.artifact_uri}/linkage"
        version = _own(self._client.create_model_version(self.name, source, run.info.run_id, tags=lineage))
        self.nominate(version)
        return version

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

        ``best`` are the parameters to train with, kept as ``best_params.json``.
        """
        with mlflow.start_run(
            experiment_id=self._experiment_id,
            run_name=f"tuning {as_of}",
            tags={"as_of": as_of.isoformat(), **tags, "kind": "tuning"},
        ) as run:
            for number, trial in enumerate(trials, 1):
                with mlflow.start_run(
                    experiment_id=self._experiment_id, run_name=f"trial {number}", nested=True, tags={"kind": "trial"}
                ) as child:
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

        Own values become metrics `<contender>/<platform>/<metric>` at step YYYYMMDD; the whole table is a CSV artifact.
        Cohorts stand in that alone: MLflow refuses a name like "56+".
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

    def nominate(self, version: ModelVersion) -> None:
        """Makes a version the challenger: `log_training` does, a night that reuses a version must."""
        self._client.set_registered_model_alias(self.name, CHALLENGER, str(version.version))

    def promote(self, version: ModelVersion) -> None:
        self._client.set_registered_model_alias(self.name, CHAMPION, str(version.version))

    # --- reading

    def champion(self) -> ModelVersion | None:
        return self._by_alias(CHAMPION)

    def challenger(self) -> ModelVersion | None:
        return self._by_alias(CHALLENGER)

    def version(self, number: int) -> ModelVersion | None:
        """The version of this number; None where it was deleted."""
        return self._found(lambda: self._client.get_model_version(self.name, str(number)))

    def _by_alias(self, alias: str) -> ModelVersion | None:
        return self._found(lambda: self._client.get_model_version_by_alias(self.name, alias))

    def _found(self, find: Callable[[], MlflowVersion]) -> ModelVersion | None:
        try:
            return _own(find())
        except MlflowException as error:
            if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):  # no model, version or alias
                return None
            raise

    def find_by_fingerprint(self, fingerprint: str) -> ModelVersion | None:
        """The newest version trained from exactly this, so that a night with nothing new need not train again."""
        found = self._client.search_model_versions(
            f"name = '{self.name}' and tags.fingerprint = '{fingerprint}'", order_by=["version_number DESC"]
        )
        return _own(found[0]) if found else None

    def load_linkage(self, version: ModelVersion) -> dict[str, bytes]:
        """The files of :meth:`log_linkage`, by name."""
        folder = Path(mlflow.artifacts.download_artifacts(run_id=version.run_id, artifact_path="linkage"))
        return {file.name: file.read_bytes() for file in sorted(folder.iterdir())}

    def load(self, version: ModelVersion) -> "tuple[keras.Model, str]":
        """The Keras model and its feature list as JSON.

        Raises:
            RegistryError: its files are missing or damaged, or this code reads no such model.
        """
        import mlflow.tensorflow

        try:
            metadata = mlflow.models.get_model_info(version.uri).metadata or {}
            return mlflow.tensorflow.load_model(version.uri), metadata["features"]
        except (MlflowException, OSError, ValueError, TypeError, KeyError, BadZipFile) as error:
            # what Keras cannot read it wraps, with the whole configuration before the reason
            reason = str(error).rpartition("Exception encountered: ")[2].partition(". ")[0]
            raise RegistryError(
                f"version {version.version} of '{version.name}' cannot be loaded: its files are missing or damaged, or "
                "an earlier release made it. "
                f"Received: {reason}. Remedy: put them back from a backup, or give the alias that it "
                "has (champion, challenger) to another version in MLflow; to train it anew, delete it there."
            ) from error


def _own(version: MlflowVersion) -> ModelVersion:
    return ModelVersion(version.name, int(version.version), str(version.run_id), dict(version.tags))


def match_weights(settings: Mapping[str, Any]) -> Figure:
    """How many bits each level of each comparison of a linkage model gives or takes; ``settings`` are Splink's own."""
    bars = [
        (
            f"{comparison['output_column_name']}: {level['label_for_charts']}",
            math.log2(level["m_probability"] / level["u_probability"]),
        )
        for comparison in settings["comparisons"]
        for level in comparison["comparison_levels"]
        if not level.get("is_null_level")
    ]
    prior = settings["probability_two_random_records_match"]
    bars.insert(0, ("two random records", math.log2(prior / (1 - prior))))
    names, weights = zip(*reversed(bars), strict=True)
    figure = Figure(figsize=(9, 0.28 * len(bars) + 1), layout="constrained")
    axes = figure.subplots()
    axes.barh(names, weights, color=["#2e7d5b" if weight > 0 else "#b3432b" for weight in weights])
    axes.axvline(0, color="black", linewidth=0.8)
    axes.set(xlabel="match weight, bits", title="What each agreement tells")
    axes.tick_params(axis="y", labelsize=7)
    return figure


def precision_recall_curve(curve: pa.Table) -> Figure:
    """Precision and recall by ``threshold``."""
    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.subplots()
    for name in ("precision", "recall"):
        axes.plot(curve["threshold"], curve[name], label=name, marker="o", markersize=3)
    axes.set(
        xlabel="cosine of interests from which two accounts would be linked",
        ylim=(-0.02, 1.02),
        title="Interests alone",
    )
    axes.legend()
    axes.grid(alpha=0.3)
    return figure


def loss_curves(history: Sequence[Mapping[str, float | None]]) -> Figure:
    """Every loss in `history` by epoch."""
    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.subplots()
    epochs = [int(epoch["epoch"] or 0) for epoch in history]
    for name in [name for name, value in history[0].items() if name.endswith("loss") and value is not None]:
        axes.plot(epochs, np.array([epoch[name] for epoch in history], np.float64), marker="o", label=name)
    axes.set(xlabel="epoch", ylabel="log loss", xticks=epochs)
    axes.legend()
    return figure


def trial_history(values: Sequence[float | None], name: str) -> Figure:
    """Each trial's value, the best so far, and the first trial's, which is what serves; None failed."""
    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    trials, found = np.arange(1, len(values) + 1), np.array(values, np.float64)
    axes.axhline(found[0], color="grey", linestyle=":", label="what serves (trial 1)")
    axes.step(trials, np.fmax.accumulate(found), where="post", label="best so far")
    axes.plot(trials, found, "o", markersize=4, color="black", label="trial")
    axes.set(xlabel="trial", ylabel=name, title="Trials on the newest training snapshot")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.legend()
    axes.grid(alpha=0.3)
    return figure


def param_importances(shares: Mapping[str, float]) -> Figure:
    """How much each parameter decides whether a trial is among the best; the largest on top."""
    figure = Figure(figsize=(7, 0.35 * len(shares) + 1), layout="constrained")
    axes = figure.subplots()
    names = sorted(shares, key=lambda name: shares[name])
    axes.bar_label(axes.barh(names, [shares[name] for name in names]), fmt="%.2f", padding=3)
    axes.set(
        xlabel="share", xlim=(0, 1.08 * max(shares.values())), title="What decides whether a trial is among the best"
    )
    return figure


# --- the flavour: MLflow calls save_model and _load_pyfunc by name


def save_model(path: str, mlflow_model: Model, keras_model: "keras.Model", input_example: pd.DataFrame) -> None:
    """Saves the TensorFlow flavour, but with a pyfunc that takes a frame: MLflow's own fails on string inputs."""
    import keras
    import mlflow.tensorflow
    import tensorflow as tf

    mlflow.tensorflow.save_model(
        keras_model,
        path,
        mlflow_model=mlflow_model,
        custom_objects={
            keras.saving.get_registered_name(type(layer)): type(layer)
            for layer in keras_model.layers
            if not type(layer).__module__.startswith("keras.")
        },
        signature=False,
        input_example=input_example,
        pip_requirements=[
            f"tensorflow=={tf.__version__}",  # tensorflow-cpu is the same, but only there for some machines
            *(f"{name}=={installed(name)}" for name in REQUIREMENTS),
        ],
    )
    inputs: list[ColSpec | TensorSpec] = [
        ColSpec(DataType.string if _is_text(column) else DataType.double, column.name) for column in keras_model.inputs
    ]
    mlflow_model.signature = ModelSignature(Schema(inputs), Schema([ColSpec(DataType.float, "score")]))
    pyfunc = mlflow_model.flavors[mlflow.pyfunc.FLAVOR_NAME]
    mlflow_model.add_flavor(mlflow.pyfunc.FLAVOR_NAME, **{**pyfunc, mlflow.pyfunc.MAIN: __name__})
    mlflow_model.save(str(Path(path) / "MLmodel"))


class _RawColumnScorer:
    """The pyfunc: a frame of raw columns in, a frame with one column `score` out."""

    def __init__(self, model: "keras.Model") -> None:
        self.model = model

    def predict(self, frame: pd.DataFrame, params: dict[str, Any] | None = None) -> pd.DataFrame:
        scores: npt.NDArray[np.float32] = self.model.predict(
            _raw_columns(self.model, frame), batch_size=_SCORING_BATCH, verbose=0
        )
        return pd.DataFrame({"score": scores}, index=frame.index)


def _load_pyfunc(path: str) -> _RawColumnScorer:
    import mlflow.tensorflow

    return _RawColumnScorer(mlflow.tensorflow.load_model(str(Path(path).parent)))


def _is_text(column: "keras.KerasTensor") -> bool:
    return bool(column.dtype == "string")


def _raw_columns(model: "keras.Model", frame: pd.DataFrame) -> dict[str, npt.NDArray[Any]]:
    """The columns the model reads, as it reads them: text with null as the empty string, and float64 with NaN."""
    columns = {}
    for column in model.inputs:
        values = pa.array(frame[column.name], from_pandas=True)
        values = values.cast(pa.string()).fill_null("") if _is_text(column) else values.cast(pa.float64())
        columns[column.name] = values.to_numpy(zero_copy_only=False)
    return columns
