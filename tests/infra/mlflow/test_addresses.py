"""A home that was copied or moved works, and the old one is left alone."""

import shutil
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import date
from pathlib import Path

import numpy as np
import pytest

from infra.mlflow.addresses import ADDRESSES, follow_home
from infra.mlflow.records import LoggedData, ModelVersion, RegistryError
from infra.mlflow.registry import Registry
from infra.settings import Settings
from ml.ranking.network.scoring import score
from ml.ranking.training import TrainedModel, train
from tests.infra.mlflow.test_registry import PARAMS, SPEC, TABLE


@pytest.fixture(scope="module")
def trained() -> TrainedModel:
    return train(TABLE, None, SPEC, PARAMS)


def log(registry: Registry, trained: TrainedModel) -> ModelVersion:
    return registry.log_training(
        trained.model,
        SPEC.to_json(),
        as_of=date(2000, 12, 15),
        fingerprint="moved",
        params={},
        history=[{"epoch": 1, "loss": 0.5}],
        datasets=[LoggedData("examples", "training", TABLE, "marts.training_examples", "d1ge57")],
        tags={},
    )


def log_files(settings: Settings) -> ModelVersion:
    registry = Registry(settings, "crossrec-people")
    return registry.log_files({"model.json": b"{}"}, {}, kind="linkage", as_of=date(2000, 12, 15), metrics={}, tags={})


@pytest.fixture(scope="module")
def first(trained: TrainedModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with a champion and a linkage model, in a folder whose name is no plain address."""
    home = tmp_path_factory.mktemp("first") / "a home, 100%"
    registry = Registry(Settings(home=home))
    registry.promote(log(registry, trained))
    log_files(Settings(home=home))
    return home


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def addresses(home: Path) -> list[str]:
    with closing(sqlite3.connect(home / "mlflow" / "mlflow.db")) as database:
        return [
            value
            for table, columns in ADDRESSES.items()
            for column in columns
            for (value,) in database.execute(f'select "{column}" from "{table}" where "{column}" is not null')
            if not value.startswith("models:/") and not value.endswith("/mlruns/0")
        ]


def test_a_copy_works_and_the_original_is_left_alone(first: Path, trained: TrainedModel, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(first, copy)
    original = files(first)
    registry = Registry(Settings(home=copy))
    version = log(registry, trained)
    assert version.version == 2
    log_files(Settings(home=copy))
    registry.log_report(version, Path(__file__))
    assert files(first) == original
    assert len(addresses(copy)) > len(addresses(first)) > 5
    assert {address.startswith(f"file://{copy}/") for address in addresses(copy)} == {True}
    assert Registry(Settings(home=first)).champion() is not None
    assert files(first).keys() == original.keys()


def test_a_moved_home_loads_scores_and_logs_where_it_is_now(first: Path, trained: TrainedModel, tmp_path: Path) -> None:
    old, new = tmp_path / "old", tmp_path / "elsewhere" / "new"
    shutil.copytree(first, old)
    Registry(Settings(home=old))
    new.parent.mkdir()
    old.rename(new)
    registry = Registry(Settings(home=new))
    champion = registry.champion()
    assert champion is not None
    model, _ = registry.load(champion)
    assert np.array_equal(score(model, SPEC, TABLE), score(trained.model, SPEC, TABLE))
    people = Registry(Settings(home=new), "crossrec-people")
    linkage = people.challenger()
    assert linkage is not None
    assert people.load_files(linkage, "linkage") == {"model.json": b"{}"}
    registry.load(log(registry, trained))
    assert not old.exists()


def test_several_processes_may_open_a_copy_at_once(first: Path, tmp_path: Path) -> None:
    shutil.copytree(first, tmp_path / "copy")
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(follow_home, [Settings(home=tmp_path / "copy")] * 8))
    assert {
        address.startswith(f"file://{tmp_path}/copy/mlflow/artifacts") for address in addresses(tmp_path / "copy")
    } == {True}


def test_a_database_without_its_artifacts_says_what_to_copy(first: Path, tmp_path: Path) -> None:
    folder = tmp_path / "mlflow"
    folder.mkdir()
    shutil.copy(first / "mlflow" / "mlflow.db", folder)
    with pytest.raises(RegistryError, match=rf"without its artifacts.*Remedy: copy that folder to {folder}/artifacts"):
        Registry(Settings(home=tmp_path))


def test_artifacts_that_people_put_elsewhere_stay_there(first: Path, tmp_path: Path) -> None:
    shutil.copytree(first, tmp_path / "copy")
    with closing(sqlite3.connect(tmp_path / "copy" / "mlflow" / "mlflow.db")) as database, database:
        database.execute("update experiments set artifact_location = 's3://bucket/models' where name = 'crossrec'")
    before = addresses(tmp_path / "copy")
    Registry(Settings(home=tmp_path / "copy"))
    assert addresses(tmp_path / "copy") == before
