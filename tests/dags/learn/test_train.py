"""From which version a night's training begins; marts by hand, the registry a real one."""

from datetime import date, timedelta
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
import pytest

from dags.steps.learn.train import feature_spec, parent_of, train
from dags.steps.night import Night
from infra.mlflow.registry import ModelVersion, Registry, RegistryError
from infra.settings import Settings

FIRST, SECOND, THIRD = (date(2000, 12, day) for day in (15, 22, 29))


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


def night_of(home: Path, as_of: date, warm_start: bool = True, model_name: str = "crossrec-ranker") -> Night:
    """A night whose marts have two cuts that teach and one held out, 40 lists of ten each."""
    spec, random = feature_spec(), np.random.default_rng(as_of.toordinal())
    cuts = [as_of - timedelta(days) for days in (22, 15, 8)]
    rows = len(cuts) * 400
    columns = {name: random.integers(4, size=rows).astype(str) for name in spec.categorical}
    columns |= {name: random.random(rows) for name in spec.numeric}
    lists = np.arange(rows) // 10
    keys = {"as_of": np.repeat(cuts, 400), "person_id": [f"P{n:04}" for n in lists], "item_id": np.arange(rows) % 10}
    examples = pd.DataFrame(keys | columns | {"label": (np.arange(rows) % 10 == 3).astype(int)})
    examples["platform"] = np.where(lists % 2, "shop", "forum")
    settings = Settings(
        home=home, warehouse=home / f"{as_of}.duckdb", epochs=1, warm_start=warm_start, model_name=model_name
    )
    night = Night(as_of, settings=settings)
    with duckdb.connect(str(night.settings.warehouse_path)) as warehouse:
        warehouse.execute("drop schema if exists marts cascade; create schema marts")
        warehouse.register("made", examples)
        warehouse.execute("create table marts.training_examples as select * replace (as_of::date as as_of) from made")
        warehouse.execute(
            "create table marts.snapshots as select as_of, if(as_of = max(as_of) over (), 'evaluation', 'training') as role"
            " from (select distinct as_of from marts.training_examples)"
        )
        warehouse.execute("create table marts.candidate_pairs as select distinct as_of from marts.training_examples")
        warehouse.execute(
            "create table marts.person_sequences as"
            " select distinct as_of, person_id, platform, '3|1' as recent_products from marts.training_examples"
        )
        warehouse.execute(
            "create table marts.interactions"
            " (person_id text, platform text, event_id text, occurred_at timestamp, known_at timestamp)"
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


def test_a_night_begins_where_it_began_though_its_own_version_serves_by_now(
    home: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "dags.steps")
    registry = Registry(Settings(home=home))
    first = trained(night_of(home, FIRST))
    assert first.tags["parent"] == "none"
    registry.promote(first)
    assert trained(night_of(home, FIRST)) == first

    caplog.clear()
    second = trained(night_of(home, SECOND))
    assert second.tags["parent"] == str(first.version)
    assert first.tags["snapshots"] == "2000-11-23, 2000-11-30, 2000-12-07"
    assert second.tags["snapshots"] == "2000-12-07, 2000-12-14"  # what the first did not learn from
    assert f"with the weights of version {first.version} for" in caplog.text
    registry.promote(second)
    assert trained(night_of(home, SECOND)) == second
    assert trained(night_of(home, FIRST)) == first  # a night of the past does not know what came after

    cold = trained(night_of(home, SECOND, warm_start=False))
    assert cold.version not in (first.version, second.version)
    assert cold.tags["parent"] == "none"

    for model in (home / "mlflow").rglob("model.keras"):
        model.unlink()
    with pytest.raises(RegistryError, match=rf"version {second.version} of .* cannot be loaded.*Remedy:"):
        train(night_of(home, THIRD))


def test_a_parent_is_the_nearest_ancestor_that_learned_before(home: Path) -> None:
    registry = Registry(Settings(home=home), name="family")

    def version(**tags: str) -> ModelVersion:
        made = registry.log_linkage({"model": b""}, {}, as_of=FIRST, metrics={}, tags=tags)
        registry.promote(made)
        return made

    assert parent_of(registry, "2000-12-01") is None
    oldest = version(parent="none", learned_until="2000-11-24")
    assert parent_of(registry, "2000-12-01") == oldest
    assert parent_of(registry, "2000-11-24") is None
    middle = version(parent=str(oldest.version), learned_until="2000-12-01")
    version(parent=str(middle.version), learned_until="2000-12-01")  # the same weeks, corrected: begins there as well
    assert parent_of(registry, "2000-12-08") == registry.champion()
    assert parent_of(registry, "2000-12-01") == oldest
    version(parent="99", learned_until="2000-12-08")  # its parent was deleted
    assert parent_of(registry, "2000-12-08") is None
    version()  # of an earlier release, which says nothing of these
    assert parent_of(registry, "2000-12-08") is None


def test_weeks_without_an_objective_that_older_ones_teach_are_no_warm_start(
    home: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Purchases are known only of the cuts that the parent learned from."""

    def with_purchases(as_of: date) -> Night:
        night = night_of(home, as_of, model_name="buyers")
        with duckdb.connect(str(night.settings.warehouse_path)) as warehouse:
            warehouse.execute("insert into seeds.objectives values ('purchase', 3)")
            warehouse.execute(
                "create table marts.objective_labels as select distinct on (as_of, person_id) as_of, person_id, platform, product_id,"
                " 'purchase' as objective, 1.0 as weight from marts.training_examples where as_of <= $1",
                [FIRST - timedelta(15)],
            )
        return night

    caplog.set_level("INFO", "dags.steps")
    registry = Registry(with_purchases(FIRST).settings)
    parent = trained(with_purchases(FIRST))
    registry.promote(parent)
    assert parent.tags["objectives"] == "take 1, purchase 3"
    quiet = trained(with_purchases(SECOND))
    assert quiet.tags["objectives"] == "take 1, purchase 3"
    assert quiet.tags["parent"] == "none"
    assert quiet.tags["snapshots"] == "2000-11-30, 2000-12-07, 2000-12-14"
    assert (
        f"training does not begin with version {parent.version}: no example that it has not learned from is positive for purchase"
        in caplog.text
    )
    assert "event_types.csv" not in caplog.text
