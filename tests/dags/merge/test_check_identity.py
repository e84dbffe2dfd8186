"""How far merges and splits reach: what the gate counts before it stops a night."""

from typing import Any

import duckdb
import pytest

from dags.steps.merge.check_identity import MOVED_SHARE

TONIGHT = {"a": "one", "b": "one", "c": "one", "d": "two", "e": "two", "n": "ten"}


def share(moved: list[tuple[str, str, str]], with_events: str, known: int = 10) -> float:
    """``moved`` are (record, its id now, its id before); records are letters."""
    with duckdb.connect() as warehouse:

        def table(name: str, columns: str, rows: list[tuple[Any, ...]]) -> None:
            warehouse.execute(f"create table {name} ({columns})")
            for row in rows:
                warehouse.execute(f"insert into {name} values ({', '.join('?' * len(row))})", row)

        warehouse.execute("create schema intermediate")
        table("intermediate.int_events", "platform text, account_id text", [("p", name) for name in with_events * 2])
        table("tonight", "platform text, id text, cluster_id text", [("p", *row) for row in TONIGHT.items()])
        table("moved", "platform text, id text, cluster_id text, other_id text", [("p", *row) for row in moved])
        [(found,)] = warehouse.execute(MOVED_SHARE.format(record="account"), {"known": known}).fetchall()
        return float(found)


@pytest.mark.parametrize(
    ("moved", "with_events", "records"),
    [
        ([], "abcde", ""),
        ([("a", "one", "two")], "a", "abcde"),  # into one, and out of two: both have another history
        ([("a", "one", "gone")], "a", "abc"),  # a merge: nobody is left
        ([("a", "one", "gone")], "bc", "a"),  # who did nothing brings nobody a history, but gets theirs
        ([("a", "one", "gone"), ("d", "two", "lost")], "a", "abcd"),
        ([("a", "one", "gone"), ("b", "one", "gone")], "ab", "abc"),  # each counts once
        ([("n", "ten", "two")], "n", "nde"),
    ],
)
def test_records_whose_company_brought_or_took_a_history(
    moved: list[tuple[str, str, str]], with_events: str, records: str
) -> None:
    assert share(moved, with_events) == len(records) / 10


def test_more_than_all_is_all() -> None:
    """Records that are new count too where they share a moved history, and nothing may have been known before."""
    assert share([("a", "one", "two")], "a", known=3) == 1.0
    assert share([("a", "one", "two")], "a", known=0) == 1.0
    assert share([], "a", known=0) == 0.0
