from datetime import date

from expectations import leakage
from expectations.gate import GateResult, run_gate

CUT = date(2000, 12, 7)


def check(moved: dict[str, int], other_candidates: int = 0) -> GateResult:
    frame = leakage.frame(moved, other_candidates=other_candidates)
    return run_gate("leakage", leakage.suite(CUT, 5_000), frame, as_of=date(2000, 12, 15))


def test_a_past_that_the_future_does_not_move_passes():
    assert check({"price": 0, "trend": 0}).verdict == "pass"


def test_one_value_that_moved_stops_by_the_name_of_its_feature():
    result = check({"trend": 1_203, "price": 1, "affinity": 0})
    assert result.verdict == "stop"
    [failed] = result.failed
    assert failed.observed == "trend (1,203), price (1)"
    assert "5,000 candidates" in failed.description
    assert str(CUT) in failed.description


def test_candidates_that_the_future_chose_stop():
    [failed] = check({"price": 0}, other_candidates=2).failed
    assert failed.severity == "stop"
    assert failed.observed == "2"
