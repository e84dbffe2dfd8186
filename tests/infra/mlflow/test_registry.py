import json
import subprocess
import sys
import zipfile
from collections.abc import Callable
from dataclasses import asdict, replace
from datetime import date
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from infra.mlflow.registry import LoggedData, ModelVersion, Registry, RegistryError
from infra.settings import PROJECT_ROOT, Settings
from ml.ranking.network.features import Feature, FeatureSpec
from ml.ranking.network.scoring import score
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


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    return Settings(home=tmp_path_factory.mktemp("home"))


@pytest.fixture(scope="module")
def registry(settings: Settings) -> Registry:
    return Registry(settings)


@pytest.fixture(scope="module")
def trained() -> TrainedModel:
    return train(TABLE, None, SPEC, TrainingParams(epochs=2, batch_size=16, hidden=(4,), embedding_dim=2))


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


def as_an_earlier_release_made_it(file: Path) -> None:
    """Its values hashed into buckets: what a version of then says of itself."""
    with zipfile.ZipFile(file) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    config = json.loads(files["config.json"])
    [layer] = [layer for layer in config["config"]["layers"] if layer["registered_name"] == "crossrec>WideDeep"]
    del layer["config"]["values"]
    features = [Feature("recency", "numeric"), replace(Feature("genre", "categorical"), buckets=20)]
    layer["config"]["spec"] = json.dumps([asdict(feature) for feature in features])
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in (files | {"config.json": json.dumps(config).encode()}).items():
            archive.writestr(name, content)


@pytest.mark.parametrize(
    ("file", "damage"),
    [
        ("model.keras", as_an_earlier_release_made_it),
        ("model.keras", lambda file: file.write_bytes(file.read_bytes()[:-100])),
        ("model.keras", lambda file: file.write_bytes(file.read_bytes().replace(b"\x89HDF", b"damn"))),
        ("model.keras", Path.unlink),
        ("MLmodel", Path.unlink),
    ],
)
def test_a_damaged_version_is_named(
    file: str, damage: Callable[[Path], object], settings: Settings, registry: Registry, trained: TrainedModel
) -> None:
    known = set((settings.home / "mlflow").rglob(file))
    damaged = log(registry, trained, "damaged")
    [path] = set((settings.home / "mlflow").rglob(file)) - known
    damage(path)
    with pytest.raises(
        RegistryError, match=f"version {damaged.version} of 'crossrec-ranker' cannot be loaded"
    ) as error:
        registry.load(damaged)
    assert "Remedy: put them back from a backup, or give the alias" in str(error.value)


def test_pyfunc_scores_raw_columns(trained: TrainedModel, version: ModelVersion) -> None:
    frame = TABLE.to_pandas().set_index("person_id")
    scores = mlflow.pyfunc.load_model(version.uri).predict(frame[["genre", "recency"]])
    assert list(scores.index) == list(frame.index)
    assert np.allclose(scores["score"], score(trained.model, SPEC, TABLE), atol=1e-6)


def test_a_fresh_process_needs_only_mlflow(
    settings: Settings, trained: TrainedModel, version: ModelVersion, tmp_path: Path
) -> None:
    TABLE.select(["genre", "recency"]).to_pandas().to_json(tmp_path / "raw.json")
    code = f"""
import mlflow, pandas as pd
mlflow.set_tracking_uri({settings.mlflow_uri!r})
frame = pd.read_json({str(tmp_path / "raw.json")!r})
mlflow.pyfunc.load_model({version.uri!r}).predict(frame).to_json({str(tmp_path / "scores.json")!r})
"""
    subprocess.run([sys.executable, "-c", code], cwd=PROJECT_ROOT, check=True, capture_output=True)
    scores = pd.read_json(tmp_path / "scores.json")["score"]
    assert np.allclose(scores, score(trained.model, SPEC, TABLE), atol=1e-6)


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
