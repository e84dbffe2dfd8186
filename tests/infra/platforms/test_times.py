"""One parser of time: what the extractor and the staging models make of each way to write it."""

from datetime import date, datetime

import duckdb
import pytest

from infra.platforms.times import MICROSECOND, day_begins, day_ends, visible_at

TEN = datetime(2000, 12, 14, 10)


def parsed(
    value: str, timezone: str = "Europe/Berlin", date_order: str = "ymd", kind: str = "varchar"
) -> datetime | None:
    with duckdb.connect() as connection:
        connection.execute("set TimeZone = 'UTC'")
        sql = f"select {visible_at('value', timezone, date_order)} from (select $value::{kind} as value)"
        [(found,)] = connection.execute(sql, {"value": value}).fetchall()
    return found


@pytest.mark.parametrize(
    "text",
    [
        "2000-12-14T05:00:00-05:00",
        "2000-12-14T10:00:00Z",
        "2000-12-14 10:00:00+00",
        "2000-12-14 10:00:00 UTC",
        "2000-12-14 10:00:00 GMT",
        "2000-12-14T12:00+02:00",
        "2000-12-14T15:30:00+0530",
        "2000-12-14 11:00:00",  # Berlin
        " 2000-12-14 11:00 ",
        "2000/12/14 11:00:00",
        "976788000",
        "976788000000",
        "976788000000000",
        "976788000000000000",
        "976788000.0",
    ],
)
def test_ten_o_clock(text: str) -> None:
    assert parsed(text) == TEN


def test_fractions_of_a_second() -> None:
    assert parsed("2000-12-14T10:00:00.25Z") == parsed("2000-12-14 11:00:00,250") == TEN.replace(microsecond=250_000)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "yesterday",
        "infinity",
        "-infinity",
        "epoch",
        "0000-00-00 00:00:00",
        "0000-00-00",
        "1984-05-00",
        "2000-02-30",
        "12",
        "03/04/1984",
        "31.12.1984",
        "2000-12-14 10:00:00 PM",
        "2000-12-14 25:00:00",
    ],
)
def test_what_is_no_time_is_null(text: str) -> None:
    assert parsed(text) is None


def test_a_date_is_a_whole_local_day() -> None:
    berlin_ends = datetime(2000, 12, 14, 23) - MICROSECOND
    assert parsed("2000-12-14") == parsed("20001214") == berlin_ends == day_ends(date(2000, 12, 14), "Europe/Berlin")
    assert parsed("2000-12-14", kind="date") == berlin_ends
    assert parsed("2000-12-14", "America/New_York") == datetime(2000, 12, 15, 5) - MICROSECOND
    assert day_begins(date(2000, 12, 14), "Asia/Tokyo") == datetime(2000, 12, 13, 15)


def test_the_order_of_a_date_is_declared() -> None:
    assert parsed("03/04/1984 12:00", "UTC", "dmy") == datetime(1984, 4, 3, 12)
    assert parsed("3/4/1984 12:00", "UTC", "mdy") == datetime(1984, 3, 4, 12)
    assert parsed("31.12.1984", "UTC", "dmy") == datetime(1985, 1, 1) - MICROSECOND
    assert parsed("31.12.1984", "UTC", "mdy") is None
    assert parsed("2000-12-14 10:00", "UTC", "mdy") == TEN


def test_the_hour_that_a_clock_skips_and_the_one_that_it_shows_twice() -> None:
    assert parsed("2000-03-26 02:30:00") == datetime(2000, 3, 26, 1, 30)  # by the offset before: 03:30 in summer time
    assert parsed("2000-10-29 02:30:00") == datetime(2000, 10, 29, 1, 30)  # by the offset after: winter time


@pytest.mark.parametrize("kind", ["timestamp", "timestamptz", "bigint"])
def test_columns_that_are_no_text(kind: str) -> None:
    text = {"timestamp": "2000-12-14 11:00:00", "timestamptz": "2000-12-14 10:00:00+00", "bigint": "976788000"}[kind]
    assert parsed(text, kind=kind) == TEN
    if kind != "bigint":
        assert parsed("infinity", kind=kind) is None
