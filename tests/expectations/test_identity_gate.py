from datetime import date

import pytest

from expectations import identity
from expectations.gate import GateResult, run_gate

FOUND = {
    "expected_precision": 0.99,
    "at_size_cap": 0,
    "clusters": 10_000,
    "known_before": 20_000,
    "changed_id": 100,
}
MOVES = ["merge of shop:1 (shop:1 ~ forum:2 +9.0 bits)", "split of shop:3 (no pair links them)"]


def check(moved_share: float = 0.01, moves: list[str] = MOVES, **change: float | None) -> GateResult:
    frame = identity.frame("person", **(FOUND | change), moved_share=moved_share, biggest_moves=moves)
    suite = identity.suite(
        "person",
        min_precision=0.985,
        max_churn=0.02,
        max_moves=0.05,
        moves="; ".join(moves),
        as_of="2000-12-16",
    )
    return run_gate("identity_persons", suite, frame, as_of=date(2000, 12, 16))


def test_a_night_like_any_other_passes():
    result = check()
    assert result.verdict == "pass", result.failed


def test_a_first_night_passes():
    """Nothing was known before; where nothing is linked, no link is wrong."""
    result = check(0.0, [], expected_precision=None, known_before=0, changed_id=0, clusters=0)
    assert result.verdict == "pass", result.failed


@pytest.mark.parametrize(
    ("change", "verdict", "description"),
    [
        ({"expected_precision": 0.9849}, "stop", "links of persons that are right in 98.5% of the cases"),
        ({"at_size_cap": 11}, "stop", "at most 0.1% of the persons as large as is allowed"),
        ({"at_size_cap": 1}, "warn", "no person as large as is allowed"),
        ({"changed_id": 401}, "stop", "at most 2% of the known records with another person"),
        ({"moved_share": 0.0501}, "stop", "at most 5% of the known records with a history that merges or splits"),
    ],
)
def test_what_would_show_somebody_a_strangers_taste_is_found(change, verdict, description):
    result = check(**change)
    assert result.verdict == verdict
    assert description in result.failed[0].description
    assert result.failed[0].remedy
    assert result.failed[0].why


@pytest.mark.parametrize(
    "change", [{"expected_precision": 0.985}, {"at_size_cap": 0}, {"changed_id": 400}, {"moved_share": 0.05}]
)
def test_a_limit_itself_is_allowed(change):
    assert check(**change).verdict == "pass"


def test_ten_in_ten_thousand_at_the_size_cap_are_worth_a_look_and_no_more():
    assert check(at_size_cap=10).verdict == "warn"


def test_who_has_to_decide_about_moves_reads_what_does_them_and_how_to_accept_them():
    [failed] = check(moved_share=0.2).failed
    assert "; ".join(MOVES) in failed.why
    assert "`crossrec identity accept person 2000-12-16`" in failed.remedy


def test_the_row_names_the_biggest_moves_only():
    moves = [f"move {number}" for number in range(9)]
    frame = identity.frame("person", **FOUND, moved_share=0.2, biggest_moves=moves)
    assert frame["moves"].to_pylist() == ["move 0; move 1; move 2; move 3; move 4"]
