"""A registered model in an environment that has its requirements and nothing else: no crossrec, none of its packages."""

import os
import subprocess
from datetime import date
from pathlib import Path

import mlflow.artifacts
import numpy as np
import pyarrow as pa
import pytest

from infra.mlflow.records import LoggedData, ModelVersion
from infra.mlflow.registry import Registry
from infra.settings import PROJECT_ROOT, Settings
from ml.ranking.network.features import Feature, FeatureSpec
from ml.ranking.network.scoring import score
from ml.ranking.training import TrainedModel, TrainingParams, train

UV = PROJECT_ROOT / ".uv" / "bin" / "uv"
PYTHON = PROJECT_ROOT / ".venv" / "bin" / "python"
SPEC = FeatureSpec(
    (
        Feature("recency", "numeric"),
        Feature("genre", "categorical"),
        Feature("age", "categorical"),
        Feature("genre_x_age", "cross", 50, ("genre", "age")),
        Feature("lately", "sequence", of=("genre",)),
    )
)
ROWS = 120
EXAMPLES = pa.table(
    {
        "platform": ["shop", "stream"] * (ROWS // 2),
        "recency": [None, 1.0, 2.0, 3.0] * (ROWS // 4),
        "genre": ["Drama", None, "War"] * (ROWS // 3),
        "age": ["18-24", "56+", "", "25-34"] * (ROWS // 4),
        "lately": ["War|Drama", None, "Drama|War|Drama", ""] * (ROWS // 4),
        "label": [0, 1, 1, 0, 0] * (ROWS // 5),
        "purchase_label": [1, 0, 0, 0, 0, 0] * (ROWS // 6),
    }
)
# text, nulls and sequences, among them values that training did not see, and numbers beyond its range
RAW = pa.table(
    {
        "platform": ["shop", "stream", "forum", None, "shop", "stream"],
        "recency": [None, 1.5, -3.0, 1e30, float("inf"), 2.0],
        "genre": ["Drama", None, "War", "never seen", "", "Zoë"],
        "age": [None, "56+", "18-24", "never seen", "25-34", ""],
        "lately": ["War|Drama", None, "never seen|War", "|".join(["War", "Drama"] * 40), "", "nor this"],
    }
)

# one process, because TensorFlow takes long to import
CODE = """
import sys
import mlflow.pyfunc, numpy as np, pandas as pd

uri, raw, folder = sys.argv[1:]
frame = pd.read_json(raw, orient="split", dtype=False).astype({"recency": float})
scores = mlflow.pyfunc.load_model(uri).predict(frame)
assert list(scores.index) == list(frame.index)
np.save(f"{folder}/pyfunc.npy", scores["score"].to_numpy())
import mlflow.tensorflow
model = mlflow.tensorflow.load_model(uri)
columns = {
    column.name: frame[column.name].fillna("").to_numpy(object) if column.dtype == "string" else frame[column.name].to_numpy()
    for column in model.inputs
}
np.save(f"{folder}/tensorflow.npy", model.predict(columns, verbose=0))
ours = [name for name in sys.modules if name.partition(".")[0] in ("dags", "expectations", "infra", "ml")]
assert not ours, ours
"""


@pytest.fixture(scope="module")
def trained() -> TrainedModel:
    params = TrainingParams(
        epochs=2, batch_size=16, hidden=(8, 4), embedding_dim=4, objectives={"positive": 1.0, "purchase": 0.5}
    )
    return train(EXAMPLES, None, SPEC, params)


@pytest.fixture(scope="module")
def version(trained: TrainedModel, tmp_path_factory: pytest.TempPathFactory) -> ModelVersion:
    registry = Registry(Settings(home=tmp_path_factory.mktemp("home")))
    return registry.log_training(
        trained.model,
        SPEC.to_json(),
        as_of=date(2000, 12, 15),
        fingerprint="alone",
        params={},
        history=[{"epoch": 1, "loss": 0.5}],
        datasets=[LoggedData("examples", "training", EXAMPLES, "marts.training_examples", "d1ge57")],
        tags={},
    )


def installed(requirements: Path, folder: Path) -> Path:
    """The interpreter of a new environment that holds the requirements and what they need, in the versions of the lock.

    Skips where uv is missing, or cannot fetch them.
    """
    if not UV.exists():
        pytest.skip(f"{UV} is missing: `make setup` installs it")
    python = folder / "environment" / "bin" / "python"
    for command in (
        ["venv", "-q", "--python", str(PYTHON), str(folder / "environment")],
        ["pip", "install", "-q", "--python", str(python), "-r", str(requirements), "-c", "requirements.lock"],
    ):
        done = subprocess.run([UV, *command], cwd=PROJECT_ROOT, capture_output=True, text=True)
        if done.returncode and ("Failed to fetch" in done.stderr or "Request failed" in done.stderr):
            pytest.skip(f"uv has not all packages in its cache, and no network: {done.stderr.strip()[-200:]}")
        assert done.returncode == 0, done.stderr
    return python


def test_a_version_scores_raw_columns_where_crossrec_is_not(
    trained: TrainedModel, version: ModelVersion, tmp_path: Path
) -> None:
    model = Path(mlflow.artifacts.download_artifacts(artifact_uri=version.uri))
    python = installed(model / "requirements.txt", tmp_path)
    RAW.to_pandas().to_json(tmp_path / "raw.json", orient="split")
    raw = pa.Table.from_pandas(RAW.to_pandas().replace(float("inf"), None))  # JSON has no infinity
    machine = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "TF_ENABLE"))}
    done = subprocess.run(
        [python, "-I", "-c", CODE, str(model), str(tmp_path / "raw.json"), str(tmp_path)],
        env=machine,
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-2_000:]
    by_night = score(trained.model, SPEC, raw)
    assert len(set(by_night.tolist())) == raw.num_rows
    assert np.array_equal(np.load(tmp_path / "pyfunc.npy"), by_night)
    assert np.allclose(np.load(tmp_path / "tensorflow.npy"), by_night, atol=1e-6)
