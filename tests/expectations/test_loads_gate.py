from dataclasses import replace
from datetime import date

import pytest

from expectations import loads
from expectations.gate import run_gate
from expectations.loads import LoadProfile

GOOD = LoadProfile("watch_log", rows=2_000, previous_rows_median=1_800.0, rows_read_total=400_000)
OTHER = LoadProfile("viewers", rows=12, previous_rows_median=None, rows_read_total=3_000)


def check(*profiles: LoadProfile):
    return run_gate("loads", loads.suite("stream"), loads.frame(profiles), as_of=date(2000, 12, 15), platform="stream")


def test_good_loads_pass():
    result = check(GOOD, OTHER)
    assert result.verdict == "pass", result.failed


@pytest.mark.parametrize(
    ("change", "verdict", "observed"),
    [
        ({"missing_columns": ["rating", "watch_id"]}, "stop", "watch_log (rating, watch_id)"),
        ({"changed_types": ["seconds: BIGINT -> VARCHAR"]}, "stop", "watch_log (seconds: BIGINT -> VARCHAR)"),
        ({"undeclared_columns": 1}, "warn", "watch_log (1)"),
        ({"rows": 0, "rows_read_total": 0, "previous_rows_median": None}, "stop", "watch_log (0)"),
        ({"age_days": None}, "stop", "watch_log"),
        ({"age_days": 4}, "warn", "watch_log (1)"),
        ({"age_days": 3}, "warn", "watch_log (3)"),
        ({"rows": 179}, "warn", "watch_log (0.09944)"),
        ({"rows": 0}, "warn", "watch_log (0)"),
        ({"rows": 18_001}, "warn", "watch_log (10)"),
        ({"null_key_share": 0.021}, "stop", "watch_log (2.10%)"),
        ({"null_key_share": 0.006}, "warn", "watch_log (0.60%)"),
        ({"duplicate_key_share": 0.051}, "stop", "watch_log (5.10%)"),
        ({"duplicate_key_share": 0.02}, "warn", "watch_log (2.00%)"),
        ({"unreadable_share": 0.03}, "stop", "watch_log (3.00%)"),
        ({"undated_share": 0.01}, "warn", "watch_log (1.00%)"),
        ({"uncounted_rows": 1}, "stop", "watch_log (1)"),
        ({"lost_record_share": 0.001}, "warn", "watch_log (0.10%)"),
        ({"lost_record_share": 0.06}, "stop", "watch_log (6.00%)"),
        ({"gone_share": 0.01}, "warn", "watch_log (1.00%)"),
        ({"gone_share": 0.2}, "stop", "watch_log (20.0%)"),
        ({"unreadable_share": 0.01}, "warn", "watch_log (1.00%)"),
    ],
)
def test_each_rule_is_seen(change, verdict, observed):
    result = check(OTHER, replace(GOOD, **change))
    assert result.verdict == verdict, result.failed
    assert result.failed[0].observed == observed
    assert all(failed.why and failed.remedy for failed in result.failed)


def test_a_platform_without_tables_stops():
    assert check().verdict == "stop"


def test_a_quiet_night_is_not_judged_by_a_handful_of_rows():
    """Two bad rows of thirty are two of 500; two rows where five are usual are no fall."""
    quiet = replace(GOOD, rows=30, previous_rows_median=50.0, unreadable_share=2 / 30, null_key_share=2 / 30)
    assert check(quiet).verdict == "pass"
    assert check(replace(quiet, unreadable_share=1.0)).verdict == "stop"
    assert check(replace(GOOD, rows=2, previous_rows_median=5.0)).verdict == "pass"


def test_volume_is_compared_when_the_history_was_zero():
    assert check(replace(GOOD, rows=500, previous_rows_median=0.0)).verdict == "warn"
