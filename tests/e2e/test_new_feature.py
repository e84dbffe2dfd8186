"""Adding a feature is a column and nothing else: the next night fills it in wherever a model learns from it."""

import duckdb

from dags.steps.learn.build_marts import build_candidates, build_marts
from dags.steps.learn.examples import examples_of
from dags.steps.learn.train_towers import train_towers
from tests.e2e.conftest import SECOND, NightOf


def test_a_feature_that_the_candidates_lack_is_filled_in_at_every_snapshot(night_of: NightOf) -> None:
    night = night_of(SECOND)
    before = examples_of(night)
    with duckdb.connect(str(night.settings.warehouse_path)) as warehouse:
        for table in ("candidates", "training_examples"):
            warehouse.execute(f"alter table marts.{table} drop column item_trend")
    build_marts(night)
    train_towers(night)
    build_candidates(night)
    after = examples_of(night)
    assert after["item_trend"].null_count == 0
    assert after.select(before.column_names).equals(before)
