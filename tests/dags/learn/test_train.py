"""When a night trains, and with which lineage; marts by hand, the registry a real one."""

from datetime import date, timedelta
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
import pytest

from dags.steps.learn.examples import feature_spec
from dags.steps.learn.fingerprints import code_of
from dags.steps.learn.train import train
from dags.steps.night import Night
from dags.steps.records import Trained
from infra.mlflow.records import ModelVersion
from infra.mlflow.registry import Registry
from infra.settings import Settings

FIRST, SECOND = (date(2000, 12, day) for day in (15, 22))


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


def night_of(home: Path, as_of: date, model_name: str = "crossrec-ranker") -> Night:
    """A night whose marts have two snapshots that teach and one held out, 40 lists of ten each."""
    spec, random = feature_spec(), np.random.default_rng(as_of.toordinal())
    snapshots = [as_of - timedelta(days) for days in (22, 15, 8)]
    rows = len(snapshots) * 400
    columns = {name: random.integers(4, size=rows).astype(str) for name in spec.categorical}
    columns |= {name: random.random(rows) for name in spec.numeric}
    lists = np.arange(rows) // 10
    keys = {
        "as_of": np.repeat(snapshots, 400),
        "person_id": [f"P{n:04}" for n in lists],
        "item_id": np.arange(rows) % 10,
    }
    examples = pd.DataFrame(keys | columns | {"label": (np.arange(rows) % 10 == 3).astype(int)})
    examples["platform"] = np.where(lists % 2, "shop", "forum")
    settings = Settings(home=home, warehouse=home / f"{as_of}.duckdb", epochs=1, model_name=model_name)
    night = Night(as_of, settings=settings)
    with duckdb.connect(str(night.settings.warehouse_path)) as warehouse:
        warehouse.execute("drop schema if exists marts cascade; create schema marts")
        warehouse.register("made", examples)
        warehouse.execute("create table marts.training_examples as select * replace (as_of::date as as_of) from made")
        warehouse.execute(
            "create table marts.snapshots as select as_of, if(as_of = max(as_of) over (), 'evaluation', 'training') as role"
            " from (select distinct as_of from marts.training_examples)"
        )
        warehouse.execute(
            "create table marts.history_bounds as select true as training_has_pairs, true as evaluation_has_pairs,"
            " date '2000-01-01' as first_day, date '2000-01-02' as second_day,"
            " date '2000-12-01' as newest_training, date '2000-12-07' as evaluation"
        )
        warehouse.execute(
            "create table marts.person_sequences as"
            " select distinct as_of, person_id, platform, '3|1' as recent_products from marts.training_examples"
        )
        warehouse.execute("create schema if not exists seeds")
        warehouse.execute(
            "create or replace table seeds.objectives as select 'positive' as objective, 1::double as weight"
        )
    return night


def trained(night: Night) -> ModelVersion:
    train(night)
    challenger = Registry(night.settings).challenger()
    assert challenger is not None
    return challenger


def test_a_night_trains_once_on_the_same_data(home: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "dags.steps")
    registry = Registry(Settings(home=home))
    first = trained(night_of(home, FIRST))
    assert night_of(home, FIRST).read(Trained) == Trained(version=first.version, run_id=first.run_id, examples=800)
    registry.promote(first)
    assert trained(night_of(home, FIRST)) == first
    assert f"nothing new to learn since version {first.version}" in caplog.text

    second = trained(night_of(home, SECOND))
    assert second.version != first.version
    assert first.tags["snapshots"] == "2000-11-23, 2000-11-30, 2000-12-07"
    assert second.tags["snapshots"] == "2000-11-30, 2000-12-07, 2000-12-14"
    registry.promote(second)
    assert trained(night_of(home, SECOND)) == second
    assert trained(night_of(home, FIRST)) == first  # a night of the past does not know what came after


def test_a_version_says_which_objectives_it_ranks_by(home: Path) -> None:
    night = night_of(home, FIRST, model_name="buyers")
    with duckdb.connect(str(night.settings.warehouse_path)) as warehouse:
        warehouse.execute("insert into seeds.objectives values ('purchase', 3)")
        warehouse.execute(
            "create table marts.objective_weights as select distinct on (as_of, person_id) as_of, person_id, platform,"
            " product_id, map(['purchase'], [1.0]) as weight_by_objective from marts.training_examples"
        )
    assert trained(night).tags["objectives"] == "positive 1, purchase 3"


def test_a_change_in_any_folder_of_a_room_is_new_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The network, which decides a model, has a folder of its own."""
    network = tmp_path / "ml" / "ranking" / "network"
    network.mkdir(parents=True)
    (network.parent / "training.py").write_text("epochs = 2")
    (network / "wide_deep.py").write_text("seed = 1")
    monkeypatch.setattr("dags.steps.learn.fingerprints.PROJECT_ROOT", tmp_path)
    before = code_of("ranking")
    assert code_of("ranking") == before
    (network / "wide_deep.py").write_text("seed = 2")
    assert code_of("ranking") != before
