"""From a night's published lists to what their exploration slots brought."""

from datetime import date
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pytest

from dags.steps.learn.off_policy import logged_choices, value_of_choices
from dags.steps.night import Night
from infra.publications import publication_id
from infra.settings import Settings
from tests.compiled import create_tables

CUT = date(2000, 12, 7)
MARTS = """
create schema marts;
create table marts.snapshots as select date '2000-12-07' as as_of, 'evaluation' as role;
create table marts.person_accounts as from (values ('merged', 'shop', 'C1'), ('P2', 'shop', 'C2'), ('P3', 'shop', 'C3'))
    as accounts (person_id, platform, account_id);
create table marts.product_items as select 'shop' as platform, * from (values ('a', 'A'), ('b', 'B'))
    as items (item_id, product_id);
create table marts.interactions as select 'shop' as platform, 'e' || row_number() over () as event_id, * from (values
    ('merged', 'B', true, timestamp '2000-12-07 00:00:00', timestamp '2000-12-13 00:00:00', null),
    ('P2', 'A', true, timestamp '2000-12-14 00:00:00', timestamp '2000-12-14 00:00:00', null),
    ('P2', 'A', true, timestamp '2000-12-06 23:59:59', timestamp '2000-12-07 00:00:00', null),
    ('P2', 'A', false, timestamp '2000-12-08 00:00:00', timestamp '2000-12-08 00:00:00', null),
    ('P2', 'A', true, timestamp '2000-12-08 00:00:00', timestamp '2000-12-14 00:00:00', null),
    ('P2', 'A', true, timestamp '2000-12-08 00:00:00', timestamp '2000-12-08 00:00:00', timestamp '2000-12-09 00:00:00'),
    ('P2', 'B', true, timestamp '2000-12-08 00:00:00', timestamp '2000-12-08 00:00:00', null)
) as events (person_id, product_id, is_positive, occurred_at, known_at, superseded_at)
"""
# P1 is 'merged' by now; P4 has left
LISTS = [
    ("P1", "C1", "a", "ranked", 1.0),
    ("P1", "C1", "b", "explored", 0.2),
    ("P1", "C1b", "b", "explored", 0.2),
    ("P2", "C2", "a", "ranked", 0.8),
    ("P3", "C3", "b", "ranked", 1.0),
    ("P4", "C4", "a", "ranked", 0.8),
]
MIGHT = [("P1", "a", 0.8, False), ("P1", "b", 0.2, True), ("P2", "a", 0.8, True), ("P2", "b", 0.2, False)]


@pytest.fixture
def night(tmp_path: Path) -> Night:
    """The night of the held-out snapshot, which published."""
    night = Night(CUT, settings=Settings(home=tmp_path, horizon_days=7))
    with duckdb.connect(str(night.settings.warehouse_path)) as warehouse:
        warehouse.execute(MARTS)
        create_tables(warehouse, "evaluation_rewards")
    names = ["person_id", "account_id", "item_id", "slot", "propensity"]
    lists = [dict(zip(names, row, strict=True)) | {"platform": "shop"} for row in LISTS]
    night.write_table(night.key("lists.parquet"), pa.Table.from_pylist(lists))
    names = ["person_id", "item_id", "propensity", "is_shown"]
    might = [dict(zip(names, row, strict=True)) | {"platform": "shop", "price": 1.5} for row in MIGHT]
    night.write_table(night.key("explorable.parquet"), pa.Table.from_pylist(might))
    content, _ = night.lake.read(night.key("lists.parquet"))
    night.lake.put(f"publications/{publication_id(CUT, content)}/publication.json", b"{}")
    return night


def test_an_exploration_slot_is_rewarded_by_a_positive_interaction_within_the_horizon(night) -> None:
    choices = logged_choices(night)
    assert choices is not None
    columns = ["person_id", "item_id", "propensity", "is_shown", "is_explored", "reward", "price"]
    assert [tuple(row[name] for name in columns) for row in choices.to_pylist()] == [
        ("P1", "a", 0.8, False, False, 1.0, 1.5),
        ("P1", "b", 0.2, True, True, 1.0, 1.5),
        ("P2", "a", 0.8, True, False, 0.0, 1.5),
        ("P2", "b", 0.2, False, False, 0.0, 1.5),
    ]
    value = value_of_choices(choices, {"challenger": np.array([0.1, 0.3, 0.2, 0.1])})
    assert (value.lists, value.explored, value.interacted) == (2, 1, 1)
    found = {(row.policy, row.estimator): row.value for row in value.estimates}
    assert found == {
        ("logged", "counting"): 0.5,
        ("challenger", "ips"): pytest.approx((1 / 0.2) / 2),
        ("challenger", "snips"): pytest.approx((1 / 0.2) / (1 / 0.2 + 1 / 0.8)),
        ("challenger", "doubly_robust"): pytest.approx((0.3 + 0.7 / 0.2 + 0.2 - 0.2 / 0.8) / 2),
    }


def test_a_night_that_did_not_publish_these_lists_tells_nothing(night) -> None:
    assert logged_choices(Night(date(2000, 11, 30), settings=night.settings)) is None
    [publication] = [*night.lake.list("publications/")]
    Path(night.lake.uri(publication)).unlink()
    assert logged_choices(night) is None


def test_a_night_that_explored_nothing_tells_nothing(night) -> None:
    nothing = night.read_table(night.key("explorable.parquet")).slice(0, 0)
    night.write_table(night.key("explorable.parquet"), nothing)
    assert logged_choices(night) is None
