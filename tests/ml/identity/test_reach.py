"""How far merges and splits reach: what the gate counts before it stops a night."""

import pyarrow as pa
import pytest

from ml.identity.reach import moved_share

TONIGHT = {"a": "one", "b": "one", "c": "one", "d": "two", "e": "two", "n": "ten"}


def share(moved: list[tuple[str, str, str]], with_events: str, known: int = 10) -> float:
    """``moved`` are (record, its id now, its id before); records are letters."""
    columns = ["platform", "id", "cluster_id", "other_id"]
    rows = [dict(zip(columns, ("p", *row), strict=True)) for row in moved]
    company = pa.Table.from_pylist(rows, pa.schema([(name, pa.string()) for name in columns]))
    tonight = pa.table({"platform": ["p"] * len(TONIGHT), "id": [*TONIGHT], "cluster_id": [*TONIGHT.values()]})
    eventful = pa.Table.from_pylist(
        [{"platform": "p", "id": row[0]} for row in moved if row[0] in with_events],
        pa.schema([("platform", pa.string()), ("id", pa.string())]),
    )
    return moved_share(company, tonight, eventful, known)


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
