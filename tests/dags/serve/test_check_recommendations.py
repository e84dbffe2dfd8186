"""What the gate is told of each row, and who must have a list; the marts are made by hand."""

from datetime import date
from pathlib import Path

import duckdb
import pytest

from dags.steps.night import Night
from dags.steps.serve.check_recommendations import _consumed
from expectations.recommendations import flagged
from infra.settings import Settings
from infra.warehouse import query
from tests.compiled import create_views

# P1 had A on the shop, where things are consumed again, and B on the forum, where nothing is
MARTS = """
create schema marts;
create table marts.snapshots as select date '2000-12-15' as as_of, 'scoring' as role;
create table marts.person_products as from (values
    ('P1', 'forum', 'A'), ('P1', 'forum', 'B'), ('P1', 'shop', 'B')
) as had (person_id, platform, product_id);
create table marts.product_items as select *, true as is_available, timestamp '2000-01-01' as created_at from (values
    ('shop', 'a', 'A'), ('shop', 'b', 'B'), ('forum', 'a', 'A'), ('forum', 'b', 'B')
) as items (platform, item_id, product_id);
create table marts.active_rules (platform varchar, product_id varchar, rule varchar);
create table marts.person_accounts as select *, timestamp '2000-01-01' as created_at from (values
    ('shop', 'C1', 'P1'), ('forum', 'C1', 'P1')
) as accounts (platform, account_id, person_id);
create table lists as from (values
    ('shop', 'C1', 'P1', 'a', 'A', 1), ('shop', 'C1', 'P1', 'b', 'B', 2),
    ('forum', 'C1', 'P1', 'a', 'A', 1), ('forum', 'C1', 'P1', 'b', 'B', 2)
) as lists (platform, account_id, person_id, item_id, product_id, rank);
"""


@pytest.fixture
def night(tmp_path: Path) -> Night:
    night = Night(date(2000, 12, 15), settings=Settings(home=tmp_path))
    with duckdb.connect(str(night.settings.warehouse_path)) as warehouse:
        warehouse.execute(MARTS)
        create_views(warehouse, "offered_items", "entitled_accounts")
    return night


def flags(night: Night, flag: str) -> list[tuple[object, ...]]:
    lists = query(night.settings, "from main.lists")
    rows = flagged(lists, query(night.settings, "from marts.offered_items"), _consumed(night, lists))
    return [(row["platform"], row["item_id"], row[flag]) for row in rows.to_pylist()]


def test_what_was_had_where_it_is_consumed_again_is_flagged_on_every_other_platform(night) -> None:
    assert flags(night, "is_consumed") == [
        ("forum", "a", True),
        ("forum", "b", True),
        ("shop", "a", False),
        ("shop", "b", True),
    ]


def test_who_had_all_that_is_offered_needs_a_list_where_it_may_be_offered_again(night) -> None:
    assert query(night.settings, "from marts.entitled_accounts").to_pylist() == [
        {"platform": "shop", "account_id": "C1"}
    ]


@pytest.mark.parametrize(
    ("change", "flag", "expected"),
    [
        ("insert into marts.active_rules values ('shop', 'A', 'ban')", "is_banned", [False, False, True, False]),
        ("update marts.product_items set is_available = item_id = 'a'", "is_available", [True, False, True, False]),
        ("delete from marts.product_items where platform = 'shop'", "in_catalogue", [True, True, False, False]),
        ("delete from marts.product_items where platform = 'shop'", "is_available", [True, True, False, False]),
    ],
)
def test_a_row_is_flagged_as_the_warehouse_has_it_now(night, change, flag, expected) -> None:
    with duckdb.connect(str(night.settings.warehouse_path)) as warehouse:
        warehouse.execute(change)
    assert [value for *_, value in flags(night, flag)] == expected
