import importlib.util
import json
import os
import pickle
import subprocess
import sys
import zipfile
from collections.abc import Callable
from dataclasses import asdict, replace
from datetime import date
from pathlib import Path

import keras
import mlflow
import mlflow.artifacts
import mlflow.pyfunc
import mlflow.tensorflow
import numpy as np
import pyarrow as pa
import pytest

from infra.mlflow.digests import digests_of, keep_digests
from infra.mlflow.records import LoggedData, ModelVersion, RegistryError
from infra.mlflow.registry import Registry
from infra.settings import PROJECT_ROOT, Settings
from ml.ranking.network.features import Feature, FeatureSpec
from ml.ranking.network.scoring import score
from ml.ranking.network.wide_deep import LAYER, WideDeep
from ml.ranking.training import TrainedModel, TrainingParams, train

SPEC = FeatureSpec((Feature("recency", "numeric"), Feature("genre", "categorical")))
TABLE = pa.table(
    {
        "person_id": [f"p{n}" for n in range(60)],
        "recency": [None, 1.0, 2.0, 3.0] * 15,
        "genre": ["Drama", None, "War"] * 20,
        "label": [0, 1, 1, 0, 0] * 12,
    }
)


PARAMS = TrainingParams(epochs=2, batch_size=16, hidden=(4,), embedding_dim=2)


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    return Settings(home=tmp_path_factory.mktemp("home"))


@pytest.fixture(scope="module")
def registry(settings: Settings) -> Registry:
    return Registry(settings)


@pytest.fixture(scope="module")
def trained() -> TrainedModel:
    return train(TABLE, None, SPEC, PARAMS)


def log(registry: Registry, trained: TrainedModel, fingerprint: str) -> ModelVersion:
    return registry.log_training(
        trained.model,
        SPEC.to_json(),
        as_of=date(2000, 12, 15),
        fingerprint=fingerprint,
        params={"epochs": 2, "hidden": (4,)},
        history=[{"epoch": epoch.epoch, "loss": epoch.loss, "holdout_loss": None} for epoch in trained.history],
        datasets=[LoggedData("training_examples", "training", TABLE.slice(0, 20), "warehouse.duckdb", "d1ge57")],
        tags={"code_commit": "abc123", "identity_snapshot": "2000-12-15"},
    )


@pytest.fixture(scope="module")
def version(registry: Registry, trained: TrainedModel) -> ModelVersion:
    assert registry.champion() is None
    assert registry.challenger() is None
    return log(registry, trained, "first")


def test_aliases_move(registry: Registry, trained: TrainedModel, version: ModelVersion) -> None:
    assert registry.challenger() == version
    assert registry.champion() is None
    registry.promote(version)
    second = log(registry, trained, "second")
    assert (version.version, second.version) == (1, 2)
    assert registry.champion() == version
    assert registry.challenger() == second
    registry.promote(second)
    registry.promote(second)
    assert registry.champion() == second
    registry.nominate(version)  # a night that reuses an older version
    assert registry.challenger() == version


def test_a_version_is_found_by_its_fingerprint(registry: Registry, version: ModelVersion) -> None:
    assert registry.find_by_fingerprint("first") == version
    assert registry.find_by_fingerprint("never trained") is None


def test_the_newest_of_equal_fingerprints_counts(registry: Registry, trained: TrainedModel) -> None:
    log(registry, trained, "twice")
    newest = log(registry, trained, "twice")
    assert registry.find_by_fingerprint("twice") == newest


def test_loaded_model_scores_the_same(registry: Registry, trained: TrainedModel, version: ModelVersion) -> None:
    model, features = registry.load(version)
    assert FeatureSpec.from_json(features) == SPEC
    assert np.array_equal(score(model, SPEC, TABLE), score(trained.model, SPEC, TABLE))


def file_of(registry: Registry, version: ModelVersion, name: str) -> Path:
    """One file of a version, where it lies in the home."""
    folder = mlflow.artifacts.download_artifacts(artifact_uri=version.uri)
    [file] = Path(folder).rglob(name)
    return file


@pytest.mark.parametrize(
    ("name", "damage"),
    [
        ("model.keras", lambda file: file.write_bytes(file.read_bytes()[:-100])),
        ("model.keras", lambda file: file.write_bytes(file.read_bytes().replace(b"\x89HDF", b"damn"))),
        ("model.keras", Path.unlink),
        ("MLmodel", Path.unlink),
    ],
)
def test_a_damaged_version_is_named(
    name: str, damage: Callable[[Path], object], registry: Registry, trained: TrainedModel
) -> None:
    damaged = log(registry, trained, "damaged")
    damage(file_of(registry, damaged, name))
    with pytest.raises(
        RegistryError, match=f"version {damaged.version} of 'crossrec-ranker' cannot be loaded"
    ) as error:
        registry.load(damaged)
    assert "Remedy: put them back from a backup, or give the alias" in str(error.value)


def hashed_into_buckets(file: Path) -> None:
    """A release that hashed values into buckets saved this configuration."""
    with zipfile.ZipFile(file) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    config = json.loads(files["config.json"])
    [layer] = [layer for layer in config["config"]["layers"] if layer["class_name"] == "WideDeep"]
    del layer["config"]["values"]
    features = [Feature("recency", "numeric"), replace(Feature("genre", "categorical"), buckets=20)]
    layer["config"]["spec"] = json.dumps([asdict(feature) for feature in features])
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in (files | {"config.json": json.dumps(config).encode()}).items():
            archive.writestr(name, content)


def with_other_settings(file: Path) -> None:
    """A release that called the towers members saved this configuration."""
    with zipfile.ZipFile(file) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    config = files["config.json"].replace(b'"ensemble_size"', b'"members"')
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in (files | {"config.json": config}).items():
            archive.writestr(name, content)


def replaced(old: str, new: str) -> Callable[[Path], object]:
    def replace_text(file: Path) -> None:
        text = file.read_text()
        assert old in text
        file.write_text(text.replace(old, new))

    return replace_text


@pytest.mark.parametrize(
    ("name", "change", "received"),
    [
        ("model.keras", hashed_into_buckets, "feature 'genre': only a cross is hashed into buckets"),
        ("model.keras", with_other_settings, "missing 1 required positional argument: 'ensemble_size'"),
        ("MLmodel", replaced("  network: ", "  layer: "), "metadata without network"),
        (
            "MLmodel",
            replaced("ml.ranking.network.wide_deep:", "ml.ranking.old_name:"),
            "No module named 'ml.ranking.old",
        ),
    ],
)
def test_a_version_of_another_release_says_what_to_do(
    name: str, change: Callable[[Path], object], received: str, registry: Registry, trained: TrainedModel
) -> None:
    older = log(registry, trained, "older")
    file = file_of(registry, older, name)
    change(file)
    folder = file.parent.parent if name == "model.keras" else file.parent
    keep_digests(registry._lake, older.run_id, digests_of(folder))  # as that release would have
    with pytest.raises(RegistryError) as error:
        registry.load(older)
    message = str(error.value)
    assert message.startswith(
        f"version {older.version} of 'crossrec-ranker' cannot be loaded: another release of crossrec made it. Received: "
    )
    assert received in message
    assert message.endswith("or delete it there: the next night trains a new one.")
    assert "\n" not in message


def runs_a_command(folder: Path, proof: Path) -> None:
    """Where the model is loaded, the file ``proof`` is made: by a pickle, or by the module that MLmodel names."""

    class Command:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return os.system, (f"touch {proof}",)

    for file in folder.rglob("*.cloudpickle"):
        file.write_bytes(pickle.dumps(Command()))
    module = proof.parent / "swapped.py"
    module.write_text(f"open({str(proof)!r}, 'w')\nclass WideDeep: pass\n")
    sys.path.append(str(module.parent))
    replaced("ml.ranking.network.wide_deep:", "swapped:")(folder / "MLmodel")


def test_a_swapped_model_is_refused_and_runs_nothing(
    registry: Registry, trained: TrainedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "path", [*sys.path])
    swapped = log(registry, trained, "swapped")
    folder = file_of(registry, swapped, "MLmodel").parent
    runs_a_command(folder, tmp_path / "proof")
    with pytest.raises(RegistryError, match=r"not those that were logged .*Received: MLmodel, data/custom_objects"):
        registry.load(swapped)
    assert not (tmp_path / "proof").exists()


def test_a_version_without_digests_in_the_lake_is_refused(registry: Registry, trained: TrainedModel) -> None:
    foreign = log(registry, trained, "foreign")
    registry._lake.delete(f"models/{foreign.run_id}.json")
    with pytest.raises(RegistryError, match=r"the lake has no digests of it .*to train it anew, delete it there"):
        registry.load(foreign)


def test_a_swapped_file_of_a_linkage_model_is_refused(settings: Settings) -> None:
    people = Registry(settings, "crossrec-others")
    files = {"model.json": b"{}", "interests.parquet": b"PAR1"}
    version = people.log_files(files, {}, kind="linkage", as_of=date(2000, 12, 15), metrics={}, tags={})
    assert people.load_files(version, "linkage") == files
    [folder] = Path(settings.home, "mlflow", "artifacts").rglob(f"{version.run_id}/artifacts/linkage")
    (folder / "unknown.txt").write_text("not logged, and not read")
    assert people.load_files(version, "linkage") == files
    (folder / "interests.parquet").write_bytes(b"PAR2")
    with pytest.raises(RegistryError, match=r"not those that were logged .*Received: interests.parquet"):
        people.load_files(version, "linkage")
    (folder / "interests.parquet").unlink()
    with pytest.raises(RegistryError, match="its files are missing or damaged"):
        people.load_files(version, "linkage")


def test_two_models_of_one_name_are_refused(settings: Settings, trained: TrainedModel, version: ModelVersion) -> None:
    """Whoever names the ranker as the linkage models are named, or the other way round."""

    def log_files(registry: Registry) -> ModelVersion:
        return registry.log_files(
            {"model.json": b"{}"}, {}, kind="linkage", as_of=date(2000, 12, 15), metrics={}, tags={}
        )

    people = Registry(settings, "crossrec-people")
    assert log_files(people).version == 1
    assert log_files(people).version == 2
    with pytest.raises(RegistryError, match=r"two models have the name 'crossrec-people'.*set CROSSREC_MODEL_NAME"):
        log(people, trained, "named like a linkage model")
    with pytest.raises(RegistryError, match=r"of kind linkage, where all others are of kind ranker"):
        log_files(Registry(settings))
    assert len(people.load_files(log_files(people), "linkage")) == 1


def test_pyfunc_scores_raw_columns(trained: TrainedModel, version: ModelVersion) -> None:
    frame = TABLE.to_pandas().set_index("person_id")
    scores = mlflow.pyfunc.load_model(version.uri).predict(frame[["genre", "recency"]])
    assert list(scores.index) == list(frame.index)
    assert np.allclose(scores["score"], score(trained.model, SPEC, TABLE), atol=1e-6)


def test_the_repositorys_modules_stay_what_they_were(
    registry: Registry, trained: TrainedModel, version: ModelVersion
) -> None:
    """A version brings its own code. A night does not run it, whatever else the process loaded."""
    frame = TABLE.to_pandas()[["genre", "recency"]]
    before = {name: module for name, module in sys.modules.items() if name.partition(".")[0] in ("infra", "ml")}
    mlflow.pyfunc.load_model(version.uri).predict(frame)
    own = type(mlflow.tensorflow.load_model(version.uri).get_layer(LAYER))
    assert own.__module__.startswith("crossrec_network_")
    assert {name: sys.modules[name] for name in before} == before
    assert importlib.util.find_spec("ml.evaluation.metrics").origin.startswith(str(PROJECT_ROOT))
    model, _ = registry.load(version)
    assert type(model.get_layer(LAYER)) is WideDeep
    assert np.array_equal(score(model, SPEC, TABLE), score(trained.model, SPEC, TABLE))


def test_layers_of_other_packages_stay_out_of_a_version(
    registry: Registry, trained: TrainedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """MLflow would pickle whatever Keras knows in this process, and a version could not be loaded without those packages."""
    monkeypatch.setitem(keras.saving.get_custom_objects(), "other>Layer", keras.layers.Dense)
    folder = Path(mlflow.artifacts.download_artifacts(artifact_uri=log(registry, trained, "registered").uri))
    assert {file.name for file in (folder / "data").glob("*.cloudpickle")} == {"custom_objects.cloudpickle"}


def test_logging_and_loading_print_nothing(tmp_path: Path) -> None:
    """A new database, two trainings and a version loaded twice: MLflow and TensorFlow would comment on each of them."""
    code = f"""
import sys
from pathlib import Path
import tests.infra.mlflow.test_registry as own
settings = own.Settings(home=Path({str(tmp_path)!r}))
for fingerprint in ("one", "two", "three", "four", "five", "six"):
    trained = own.train(own.TABLE, None, own.SPEC, own.PARAMS)
registry = own.Registry(settings)
for fingerprint in ("one", "two"):
    version = own.log(registry, trained, fingerprint)
for _ in range(2):
    own.score(registry.load(version)[0], own.SPEC, own.TABLE)
"""
    environment = {**os.environ, "PYTHONPATH": str(PROJECT_ROOT)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert (done.stdout, done.stderr) == ("", "")


def test_the_run_tells_everything(
    registry: Registry, settings: Settings, version: ModelVersion, tmp_path: Path
) -> None:
    comparison = pa.table(
        {
            "contender": ["challenger", "challenger", "popularity", "challenger"],
            "against": pa.array([None, "popularity", None, None], pa.string()),
            "platform": ["all", "all", "shop", "all"],
            "cohort": ["all", "all", "all", "age_band: 56+"],
            "metric": ["ndcg_at_10", "ndcg_at_10", "auc", "ndcg_at_10"],
            "value": [0.25, 0.05, float("nan"), 0.2],
        }
    )
    page = tmp_path / "2000-12-15.html"
    page.write_text("<html></html>")
    for _ in range(2):  # a task may run twice
        registry.log_evaluation(version, comparison, date(2000, 12, 15))
        registry.log_report(version, page)

    client = mlflow.MlflowClient(settings.mlflow_uri)
    run = client.get_run(version.run_id)
    assert client.get_experiment(run.info.experiment_id).name == "crossrec"
    assert run.info.status == "FINISHED"
    assert run.data.params == {"epochs": "2", "hidden": "(4,)"}
    assert run.data.metrics.keys() == {"loss", "challenger/all/ndcg_at_10"}
    evaluated = client.get_metric_history(version.run_id, "challenger/all/ndcg_at_10")
    assert {point.value for point in evaluated} == {0.25}
    assert [point.step for point in client.get_metric_history(version.run_id, "loss")] == [1, 2]
    lineage = {
        "as_of": "2000-12-15",
        "fingerprint": "first",
        "code_commit": "abc123",
        "identity_snapshot": "2000-12-15",
    }
    assert lineage.items() <= run.data.tags.items()
    assert version.tags == lineage
    dataset = run.inputs.dataset_inputs[0].dataset
    assert (dataset.name, dataset.digest) == ("training_examples", "d1ge57")
    for path in ("curves/loss.png", "evaluation/2000-12-15.csv", "reports/2000-12-15.html", "features.json"):
        assert client.download_artifacts(version.run_id, path)
    assert Path(settings.home, "mlflow", "artifacts").is_dir()

    signature = mlflow.models.get_model_info(version.uri).signature
    assert [(column.name, column.type.name) for column in signature.inputs] == [
        ("genre", "string"),
        ("recency", "double"),
    ]


def test_a_second_registry_finds_everything(settings: Settings, version: ModelVersion) -> None:
    assert Registry(settings).find_by_fingerprint("first") == version
