"""What the gate is told of each row, and who must have a list; the marts are made by hand."""

from datetime import datetime

import duckdb
import pytest

from dags.steps.serve.check_recommendations import ENTITLED, FLAGGED

# P1 took A on the shop, where things are taken again, and B on the forum, where nothing is
MARTS = """
create schema marts;
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
def warehouse():
    with duckdb.connect() as connection:
        connection.execute(MARTS)
        yield connection


def test_what_was_taken_where_it_is_taken_again_is_flagged_on_every_other_platform(warehouse) -> None:
    found = warehouse.execute(f"select platform, item_id, is_consumed from ({FLAGGED})").fetchall()
    assert found == [
        ("forum", "a", True),
        ("forum", "b", True),
        ("shop", "a", False),
        ("shop", "b", True),
    ]


def test_who_took_all_that_is_offered_needs_a_list_where_it_may_be_offered_again(warehouse) -> None:
    assert warehouse.execute(ENTITLED, {"as_of": datetime(2000, 12, 15)}).fetchall() == [("shop", "C1")]
