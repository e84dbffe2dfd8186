"""Versions of models and their aliases.

A version is registered as alias `challenger`. `promote` gives it the alias `champion`. Scoring uses the champion.
"""

import pkgutil
import tempfile
import warnings
from collections.abc import Callable, Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import mlflow
import mlflow.artifacts
import yaml
from matplotlib.figure import Figure
from mlflow.data.pandas_dataset import from_pandas
from mlflow.entities.model_registry import ModelVersion as MlflowVersion
from mlflow.exceptions import MlflowException
from mlflow.models import Model

from infra.lake import open_lake
from infra.mlflow import flavour
from infra.mlflow.charts import loss_curves
from infra.mlflow.digests import digests_of, keep_digests, verified_files
from infra.mlflow.records import LoggedData, ModelVersion, RegistryError
from infra.mlflow.tracking import Tracking
from infra.settings import Settings

if TYPE_CHECKING:  # TensorFlow takes seconds to import, and most of the registry does without it
    import keras

CHALLENGER, CHAMPION = "challenger", "champion"
RANKER = "ranker"  # tag `kind` of a registered model, beside those of `log_files`
_FEATURES = "features"  # key of a version's metadata


class Registry(Tracking):
    """The tracking store and model registry that `settings` name, for the registered model `name`."""

    def __init__(self, settings: Settings, name: str = "") -> None:
        super().__init__(settings)
        self.name = name or settings.model_name
        self._lake = open_lake(settings)

    # --- aliases

    def champion(self) -> ModelVersion | None:
        return self._by_alias(CHAMPION)

    def challenger(self) -> ModelVersion | None:
        return self._by_alias(CHALLENGER)

    def promote(self, version: ModelVersion) -> None:
        self._client.set_registered_model_alias(self.name, CHAMPION, str(version.version))

    def nominate(self, version: ModelVersion) -> None:
        """Makes a version the challenger. `log_training` does it; a night that uses a version again must."""
        self._client.set_registered_model_alias(self.name, CHALLENGER, str(version.version))

    def _by_alias(self, alias: str) -> ModelVersion | None:
        return self._found(lambda: self._client.get_model_version_by_alias(self.name, alias))

    # --- versions

    def version(self, number: int) -> ModelVersion | None:
        """The version of this number. None where it was deleted."""
        return self._found(lambda: self._client.get_model_version(self.name, str(number)))

    def find_by_fingerprint(self, fingerprint: str) -> ModelVersion | None:
        """The newest version trained from exactly this. A night with nothing new to learn uses it again."""
        found = self._client.search_model_versions(
            f"name = '{self.name}' and tags.fingerprint = '{fingerprint}'", order_by=["version_number DESC"]
        )
        return _own(found[0]) if found else None

    def _found(self, find: Callable[[], MlflowVersion]) -> ModelVersion | None:
        try:
            return _own(find())
        except MlflowException as error:
            if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):  # no model, version or alias
                return None
            raise

    def _claim(self, kind: str) -> None:
        """Creates the registered model where there is none.

        Raises:
            RegistryError: the name is that of a model of another kind.
        """
        found = self._client.search_registered_models(f"name = '{self.name}'")
        if not found:
            self._client.create_registered_model(self.name, tags={"kind": kind})
        elif (other := found[0].tags.get("kind", kind)) != kind:
            raise RegistryError(
                f"two models have the name '{self.name}' in MLflow. Received: a version of kind {kind}, where all others "
                f"are of kind {other}. Remedy: set CROSSREC_MODEL_NAME to a name that no other model has."
            )

    def _registered(
        self, source: str, run_id: str, lineage: Mapping[str, str], model_id: str | None = None
    ) -> ModelVersion:
        """Makes a new version of what a run logged, as challenger."""
        made = self._client.create_model_version(self.name, source, run_id, tags=dict(lineage), model_id=model_id)
        version = _own(made)
        self.nominate(version)
        return version

    # --- the ranker

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
        """Logs one training as a run, and registers its model as challenger.

        Args:
            model: with one layer that is not Keras's own. The layer's package is logged with the model.
            spec: the model's features as JSON.
            as_of: the night's.
            fingerprint: of data, code and parameters together.
            params: of the training.
            history: one mapping for each epoch, with the key `epoch`.
            datasets: what the model saw. The first gives the input example.
            tags: the rest of the lineage.

        Raises:
            RegistryError: the name is that of another kind of model.
        """
        self._claim(RANKER)
        lineage = {"as_of": as_of.isoformat(), "fingerprint": fingerprint, **tags}
        with self._run(f"train {as_of}", "training", lineage) as run:
            mlflow.log_params(dict(params))
            _log_losses(history)
            mlflow.log_text(spec, "features.json")
            _log_datasets(datasets)
            example = datasets[0].sample.slice(0, 5).select([column.name for column in model.inputs])
            layer = flavour.layer_class(model)
            info = Model.log(
                None,
                flavour,
                name="model",
                tags=lineage,
                flavor_name="tensorflow",
                metadata={_FEATURES: spec, flavour.NETWORK: f"{layer.__module__}:{layer.__name__}"},
                keras_model=model,
                input_example=example.to_pandas(),
            )
            folder = Path(mlflow.artifacts.download_artifacts(artifact_uri=f"models:/{info.model_id}"))
            keep_digests(self._lake, run.info.run_id, digests_of(folder))
        return self._registered(f"models:/{info.model_id}", run.info.run_id, lineage, info.model_id)

    def load(self, version: ModelVersion) -> "tuple[keras.Model, str]":
        """The Keras model, with the layer of this repository, and its features as JSON.

        Nothing of it is unpickled, and nothing is read before its digest is found to be the one in the lake.

        Raises:
            RegistryError: another release made the version, or its files are missing, damaged or not those that were logged.
        """
        import keras

        try:
            folder = Path(mlflow.artifacts.download_artifacts(artifact_uri=version.uri))
            files = verified_files(self._lake, version, folder)
            metadata = Model.from_dict(yaml.safe_load(files["MLmodel"])).metadata or {}
            if missing := {flavour.NETWORK, _FEATURES} - metadata.keys():
                raise ValueError(f"metadata without {', '.join(sorted(missing))}")
            layer = pkgutil.resolve_name(metadata[flavour.NETWORK])
            with tempfile.NamedTemporaryFile(suffix=".keras") as file:  # the bytes that were verified, and no others
                file.write(files["data/model.keras"])
                file.flush()
                model = keras.saving.load_model(file.name, custom_objects={layer.__name__: layer}, compile=False)
            return model, metadata[_FEATURES]
        except (MlflowException, OSError) as error:
            raise _damaged(version, error) from error
        except (ImportError, AttributeError, KeyError, TypeError, ValueError) as error:
            raise _of_another_release(version, error) from error

    # --- linkage models

    def log_files(
        self,
        files: Mapping[str, bytes],
        charts: Mapping[str, Figure],
        *,
        kind: Literal["linkage", "towers"],
        as_of: date,
        metrics: Mapping[str, float],
        tags: Mapping[str, str],
    ) -> ModelVersion:
        """Logs one training of a model that is data alone as a run, and registers its `files` as a version (challenger).

        Raises:
            RegistryError: the name is that of another kind of model.
        """
        self._claim(kind)
        lineage = {"as_of": as_of.isoformat(), **tags}
        with (
            self._run(f"{self.name} {as_of}", f"{kind} training", lineage) as run,
            tempfile.TemporaryDirectory() as folder,
        ):
            mlflow.log_metrics(dict(metrics))
            for name, figure in charts.items():
                mlflow.log_figure(figure, f"charts/{name}")
            for name, content in files.items():
                Path(folder, name).write_bytes(content)
            mlflow.log_artifacts(folder, kind)
            keep_digests(self._lake, run.info.run_id, digests_of(Path(folder)))
        return self._registered(f"{run.info.artifact_uri}/{kind}", run.info.run_id, lineage)

    def load_files(self, version: ModelVersion, kind: Literal["linkage", "towers"]) -> dict[str, bytes]:
        """The files of `log_files`, by name.

        Raises:
            RegistryError: they are missing, damaged or not those that were logged.
        """
        try:
            folder = Path(mlflow.artifacts.download_artifacts(run_id=version.run_id, artifact_path=kind))
            return verified_files(self._lake, version, folder)
        except (MlflowException, OSError) as error:
            raise _damaged(version, error) from error


def _log_losses(history: Sequence[Mapping[str, float | None]]) -> None:
    """Logs each epoch's measures as metrics at its step, and a chart of the losses."""
    for epoch in history:
        measured = {name: value for name, value in epoch.items() if name != "epoch" and value is not None}
        mlflow.log_metrics(measured, step=int(epoch["epoch"] or 0))
    mlflow.log_figure(loss_curves(history), "curves/loss.png")


def _log_datasets(datasets: Sequence[LoggedData]) -> None:
    with warnings.catch_warnings():  # MLflow warns about every source that is a name, and about every integer column
        warnings.simplefilter("ignore", UserWarning)
        for data in datasets:
            sample = from_pandas(data.sample.to_pandas(), data.source, name=data.name, digest=data.digest)
            mlflow.log_input(sample, context=data.context)


def _own(version: MlflowVersion) -> ModelVersion:
    return ModelVersion(version.name, int(version.version), str(version.run_id), dict(version.tags))


def _damaged(version: ModelVersion, error: Exception) -> RegistryError:
    return RegistryError(
        f"version {version.version} of '{version.name}' cannot be loaded: its files are missing or damaged. "
        f"Received: {error}. Remedy: put them back from a backup, or give the alias that it has (champion, challenger) to "
        "another version in MLflow; to train it anew, delete it there."
    )


def _of_another_release(version: ModelVersion, error: Exception) -> RegistryError:
    # Keras wraps what a layer raises, with the whole configuration before the reason
    reason = str(error).rpartition("Exception encountered: ")[2].partition(". ")[0]
    return RegistryError(
        f"version {version.version} of '{version.name}' cannot be loaded: another release of crossrec made it. "
        f"Received: {reason}. Remedy: give the alias that it has (champion, challenger) to a version of this release in "
        "MLflow, or delete it there: the next night trains a new one."
    )
