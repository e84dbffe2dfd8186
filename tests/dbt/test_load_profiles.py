"""What the profiles of loads count: rules on rows written by hand, and whole nights through real dbt."""

from contextlib import closing
from datetime import date
from typing import Any

import duckdb
import pytest

from tests.compiled import create_tables

EVENTS = """
    ('p1', 'ann', 'f-1', 'rate', 0.5, timestamp '2000-12-11 10:00', timestamp '2000-12-11 10:00', date '2000-12-13', 1, 'staged', null),
    ('p2', 'bob', 'f-1', 'rate', 0.5, timestamp '2000-12-12 10:00', timestamp '2000-12-12 10:00', date '2000-12-13', 2, 'staged', null),
    ('p3', 'ann', 'f-1', 'rate', 0.5, timestamp '2000-12-11 10:00', timestamp '2000-12-01 10:00', date '2000-12-15', 1, 'staged', null),
    ('p2', 'bob', 'f-1', 'rate', 0.9, timestamp '2000-12-12 10:00', timestamp '2000-12-14 10:00', date '2000-12-15', 2, 'staged', null),
    ('p4', 'eve', '9.0', 'view', null, timestamp '2000-12-14 11:00', timestamp '2000-12-14 10:00', date '2000-12-15', 3, 'staged', null),
    ('p5', 'ann', 'f-1', 'hate', null, timestamp '2000-12-14 10:00', timestamp '2000-12-14 10:00', date '2000-12-15', 4,
        'quarantined', 'unknown event type')
"""


@pytest.fixture
def counted() -> dict[tuple[str, str, str], float]:
    """Amounts of the forum's events by day, metric and bucket."""
    with closing(duckdb.connect()) as warehouse:
        warehouse.execute("create schema staging; create schema intermediate; set variable as_of = date '2000-12-15'")
        for platform in ("forum", "shop", "stream"):
            warehouse.execute(
                f"create table staging.stg_{platform}__events as select '{platform}' as platform, *, null::varchar as device"
                f" from (values {EVENTS}) as rows (event_id, account_id, item_id, event_type, value, occurred_at, known_at,"
                " load_date, raw_row, row_status, reject_reason)"
            )
            warehouse.execute(
                f"create table staging.stg_{platform}__accounts as select '{platform}' as platform, 'ann' as account_id,"
                " 'al' as formerly_account_id, date '2000-12-13' as load_date, timestamp '2000-12-01' as created_at,"
                " 'staged' as row_status union all select platform, 'bob', null, load_date, created_at, row_status from"
                f" (select '{platform}' as platform, date '2000-12-13' as load_date, timestamp '2000-12-01' as created_at,"
                " 'staged' as row_status)"
            )
            warehouse.execute(
                f"create table staging.stg_{platform}__items as select '{platform}' as platform, 'f-1' as item_id, 'war|crime'"
                " as categories, timestamp '2000-12-01' as known_at, date '2000-12-13' as load_date, 1 as raw_row,"
                " 'staged' as row_status"
            )
        create_tables(warehouse, "int_quality__event_profiles")
        rows = warehouse.execute(
            "select day, metric, bucket, amount from intermediate.int_quality__event_profiles where platform = 'forum'"
        ).fetchall()
    return {(str(day), metric, bucket): amount for day, metric, bucket, amount in rows}


@pytest.mark.parametrize(
    ("place", "amount"),
    [
        # the first load's rows count for the nights that could have known them, a late row for one that its load covers
        (("2000-12-12", "rows", "all"), 1),
        (("2000-12-13", "rows", "all"), 1),
        (("2000-12-14", "rows", "all"), 1),
        (("2000-12-15", "rows", "all"), 2),
        # p3 is p1 under another id; p2 comes again with another value
        (("2000-12-14", "repeated", "true"), 1),
        (("2000-12-15", "corrected", "true"), 1),
        (("2000-12-15", "repeated", "false"), 2),
        # eve and 9.0 are nobody and nothing
        (("2000-12-15", "account_known", "unknown"), 1),
        (("2000-12-15", "item_known", "unknown"), 1),
        (("2000-12-15", "item_shape", "9 ends in .0 signs"), 1),
        (("2000-12-15", "category", "(none)"), 1),
        (("2000-12-14", "category", "war"), 1),
        # the row in quarantine is no row of the others
        (("2000-12-15", "quarantine", "unknown event type"), 1),
        (("2000-12-15", "quarantine", "(kept)"), 2),
        (("2000-12-15", "status", "quarantined"), 1),
        (("2000-12-15", "value", "(none)"), 1),
        (("2000-12-15", "value", "0.9"), 1),
        # eve's event happened an hour after it was known
        (("2000-12-15", "age", "ahead 5"), 1),
        (("2000-12-14", "known_pair", "true"), 1),
        (("2000-12-15", "independent_rows", "all"), 2),
        (("2000-12-15", "busiest_account", "all"), 1),
        (("2000-12-15", "top_item", "true"), 1),
    ],
)
def test_events_are_counted(counted: dict[tuple[str, str, str], float], place: Any, amount: float) -> None:
    assert counted.get(place) == amount


def test_profiles_have_every_staged_row_of_the_weeks_they_cover(nightly: Any) -> None:
    """Whole nights through dbt, one after the other: the first load's weeks and each night's rows, once."""
    rows = nightly.warehouse.rows
    for platform in ("forum", "shop", "stream"):
        staged = rows(
            f"select load_date, count(*) from staging.stg_{platform}__events where row_status = 'staged'"
            f" and (load_date > date '2000-12-07' or known_at >= date '2000-10-13') group by all"
        )
        for metric in ("event_type", "hour", "item_known"):
            profiled = rows(
                "select load_date, sum(amount)::bigint from intermediate.int_quality__load_profiles"
                f" where platform = '{platform}' and contract = 'events' and metric = '{metric}' group by all"
            )
            assert profiled == staged
    assert rows("select min(load_date) from intermediate.int_quality__load_profiles") == [(date(2000, 12, 7),)]
