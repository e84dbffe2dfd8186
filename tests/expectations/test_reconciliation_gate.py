from datetime import date

import pyarrow as pa
import pytest

from expectations import reconciliation
from expectations.gate import run_gate


def check(**change):
    row = {"raw_rows": 10_000, "staged_rows": 9_900, "duplicate_rows": 60, "quarantined_rows": 40} | change
    rows = [
        {"platform": "stream", "contract": "events"} | row,
        {"platform": "forum", "contract": "items", "raw_rows": 8, "staged_rows": 7, "duplicate_rows": 0}
        | {"quarantined_rows": 1},
    ]
    counts = pa.Table.from_pylist(rows)
    return run_gate("reconciliation", reconciliation.suite(), reconciliation.frame(counts), as_of=date(2000, 12, 15))


def test_counts_that_add_up_pass():
    """One bad row of the forum's eight items is no share of anything."""
    result = check()
    assert result.verdict == "pass", result.failed


@pytest.mark.parametrize(
    ("change", "verdict", "observed"),
    [
        ({"staged_rows": 9_899}, "stop", "stream.events (1)"),
        ({"staged_rows": 9_903}, "stop", "stream.events (-3)"),
        ({"staged_rows": None}, "stop", "stream.events"),
        ({"staged_rows": 9_430, "quarantined_rows": 510}, "stop", "stream.events (5.10%)"),
        ({"staged_rows": 9_800, "quarantined_rows": 140}, "warn", "stream.events (1.40%)"),
    ],
)
def test_each_rule_is_seen(change, verdict, observed):
    result = check(**change)
    assert result.verdict == verdict, result.failed
    assert result.failed[0].observed == observed


def test_no_counts_at_all_stop():
    empty = pa.schema([("platform", "string"), ("contract", "string")]).empty_table()
    for kind in ("raw", "staged", "duplicate", "quarantined"):
        empty = empty.append_column(f"{kind}_rows", pa.array([], pa.int64()))
    result = run_gate("reconciliation", reconciliation.suite(), reconciliation.frame(empty), as_of=date(2000, 12, 15))
    assert result.verdict == "stop"
