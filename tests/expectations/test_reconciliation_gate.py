"""The gate on the conservation table: each line adds up, and shares are of tonight's load alone."""

from datetime import date

import pyarrow as pa
import pytest

from expectations import reconciliation
from expectations.gate import GateResult, run_gate

AS_OF, BEFORE = date(2000, 12, 15), date(2000, 12, 14)
LIMITS = {"warn_unknown_ids": 0.01}


def line(stage: str, rows: int | None, load_date: date | None = AS_OF, table: str = "watch_log", **parts: int | None):
    common = {"platform": "stream", "table": table, "load_date": load_date, "stage": stage}
    return [common | {"part": part, "rows": count} for part, count in {None: rows, **parts}.items()]


def check(*lines: list[dict[str, object]]) -> GateResult:
    table = pa.Table.from_pylist([row for one in lines for row in one], schema=reconciliation.LINES)
    rules = reconciliation.suite("reconciliation", remedy="look", **LIMITS)
    return run_gate("reconciliation", rules, reconciliation.frame(table, AS_OF), as_of=AS_OF)


def test_lines_that_add_up_pass():
    """One bad row of eight is no share of anything, and a line without a load is a line."""
    result = check(
        line("staged", 10_000, staged=9_900, duplicate=60, quarantined=40),
        line("staged", 8, table="titles", staged=7, quarantined=1),
        line("fates", 9_900, kept=9_890, unknown_account=10),
        line("accounts", 7, load_date=None, table="viewers", people=7),
    )
    assert result.verdict == "pass", result.failed


@pytest.mark.parametrize(
    ("broken", "observed"),
    [
        (line("staged", 10_000, staged=9_899, duplicate=100), "stream.watch_log of 2000-12-15, staged (1)"),
        (line("staged", 10_000, BEFORE, staged=10_003), "stream.watch_log of 2000-12-14, staged (-3)"),
        (line("staged", 5, staged=None), "stream.watch_log of 2000-12-15, staged"),
        (line("staged", None, staged=5), "stream.watch_log of 2000-12-15, staged"),
        (line("fates", 5), "stream.watch_log of 2000-12-15, fates (5)"),
        (line("people", 5, None, people=4), "stream.watch_log, people (1)"),
    ],
)  # fmt: skip
def test_what_stops(broken, observed):
    result = check(line("staged", 8, table="titles", staged=8), broken)
    assert result.verdict == "stop", result.failed
    assert result.failed[0].observed == observed


@pytest.mark.parametrize(
    ("bad", "observed"),
    [
        (
            line("staged", 10_000, staged=9_490, quarantined=500, unreadable=10),
            "stream.watch_log of 2000-12-15, staged (5.10%)",
        ),
        (
            line("fates", 10_000, kept=7_900, unknown_account=2_000, handle_given_up=100),
            "stream.watch_log of 2000-12-15, fates (21.0%)",
        ),
        (line("fates", 1_336, kept=1, unknown_account=1_335), "stream.watch_log of 2000-12-15, fates (99.9%)"),
        (line("fates", 10_000, kept=7_900, unknown_item=2_100), "stream.watch_log of 2000-12-15, fates (21.0%)"),
        (line("staged", 10_000, staged=9_860, quarantined=140), "stream.watch_log of 2000-12-15, staged (1.40%)"),
        (line("fates", 7, kept=1, unknown_account=6), "stream.watch_log of 2000-12-15, fates (1.20%)"),
        (line("fates", 210, kept=168, unknown_account=42), "stream.watch_log of 2000-12-15, fates (8.40%)"),
        (line("fates", 10_000, kept=9_800, unknown_item=200), "stream.watch_log of 2000-12-15, fates (2.00%)"),
    ],
)
def test_what_warns(bad, observed):
    result = check(bad)
    assert result.verdict == "warn", result.failed
    [failed] = result.failed
    assert failed.observed == observed


def test_rows_of_earlier_loads_are_not_counted_anew():
    """Ten rows without a watermark come every night: each load is judged by itself, on its own night."""
    result = check(
        line("staged", 530, BEFORE, staged=100, quarantined=430),
        line("staged", 530, staged=520, duplicate=5, quarantined=5),
        line("fates", 530, BEFORE, unknown_account=530),
        line("fates", 520, kept=520),
    )
    assert result.verdict == "pass", result.failed


def test_the_message_says_what_to_do_about_ids():
    [failed] = check(line("fates", 210, kept=168, unknown_account=42)).failed
    assert failed.description == "at most 1.0% of tonight's events with an account that the platform does not have"
    assert "raise `CROSSREC_WARN_UNKNOWN_IDS`" in failed.remedy


def test_no_counts_at_all_stop():
    assert check([]).verdict == "stop"
