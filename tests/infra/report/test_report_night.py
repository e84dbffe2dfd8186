from copy import deepcopy

import pytest

from infra.report.night import NightSummary


def metrics(**rows: tuple[float, float, float]) -> list[dict]:
    return [
        {"contender": name, "metric": "ndcg_at_10", "value": value, "low": low, "high": high}
        for name, (value, low, high) in rows.items()
    ]


def night(*metric_rows: dict) -> NightSummary:
    return NightSummary(as_of="2000-12-15", run_id="x", metrics=metric_rows)


def test_best_and_tied_by_overlapping_intervals():
    standing = night(
        *metrics(popularity=(0.05, 0.04, 0.06), challenger=(0.07, 0.06, 0.08), item_neighbours=(0.04, 0.03, 0.05))
    ).standing("ndcg_at_10")
    assert standing.best == "challenger"
    assert standing.tied == {"popularity"}


def test_a_paired_difference_outweighs_overlapping_intervals():
    rows = metrics(popularity=(0.06, 0.05, 0.07), challenger=(0.07, 0.06, 0.08))
    paired = {"contender": "popularity", "against": "challenger", "metric": "ndcg_at_10", "value": -0.01}
    assert night(*rows, paired | {"low": -0.015, "high": -0.005}).standing("ndcg_at_10").tied == frozenset()
    assert night(*rows, paired | {"low": -0.025, "high": 0.001}).standing("ndcg_at_10").tied == {"popularity"}


def test_lower_log_loss_is_better_and_more_coverage_is_not():
    rows = [
        {"contender": name, "metric": metric, "value": value}
        for name, value in (("champion", 0.4), ("challenger", 0.3))
        for metric in ("log_loss", "coverage")
    ]
    assert night(*rows).standing("log_loss").best == "challenger"
    assert night(*rows).standing("coverage").best is None


@pytest.mark.parametrize(
    ("challenger", "sentence"),
    [
        ((0.09, 0.08, 0.10), "The model beats the NDCG@10 of the best baseline (Popularity): 0.0900 against 0.0600."),
        ((0.07, 0.06, 0.08), "The model cannot be told from the NDCG@10 of the best baseline (Popularity)"),
        ((0.03, 0.02, 0.04), "The model falls short of the NDCG@10 of the best baseline (Popularity)"),
    ],
)
def test_one_honest_sentence_about_the_model(challenger, sentence):
    rows = metrics(item_neighbours=(0.04, 0.03, 0.05), popularity=(0.06, 0.055, 0.065), challenger=challenger)
    assert night(*rows).model_against_baselines().startswith(sentence)


def test_no_sentence_without_a_baseline():
    assert night(*metrics(challenger=(0.07, 0.06, 0.08))).model_against_baselines() == ""
    assert night().model_against_baselines() == ""


@pytest.mark.parametrize(
    ("threshold", "sentence"),
    [
        (
            None,
            "Interests alone link nobody, for `CROSSREC_BEHAVIOUR_THRESHOLD` is off, the default: at their most "
            "precise, from a cosine of 0.95 on, 0.3% of the pairs would be one person (precision), and 27.5% of the pairs of "
            "one person would be found (recall).",
        ),
        (
            0.6,
            "Interests alone link from a cosine of 0.60 on (`CROSSREC_BEHAVIOUR_THRESHOLD`): as measured from 0.50 on, 0.2% "
            "of the pairs would be one person (precision), and 79.4% of the pairs of one person would be found (recall).",
        ),
    ],
)
def test_one_sentence_about_interests_alone(facts, threshold, sentence):
    night = NightSummary.model_validate(facts | {"behaviour_threshold": threshold})
    assert night.what_interests_tell() == sentence


def test_of_two_that_are_as_precise_the_one_that_finds_more_is_named():
    curve = [{"threshold": t, "precision": 0.5, "recall": r} for t, r in ((0.8, 0.4), (0.9, 0.25))]
    told = NightSummary(as_of="2000-12-15", run_id="x", interests_alone=curve).what_interests_tell()
    assert "from a cosine of 0.80 on, 50.0%" in told


def test_nothing_measured_of_interests_is_nothing_said():
    assert night().what_interests_tell() == ""


def test_the_night_is_as_bad_as_its_worst_gate(facts, summary):
    assert summary.verdict == "warn"
    worse = deepcopy(facts)
    worse["gates"][3]["checks"][0]["success"] = False
    assert NightSummary.model_validate(worse).verdict == "stop"


def test_a_night_that_holds_a_load_is_yellow_and_so_is_one_that_goes_on_with_older_data():
    check = {"description": "keys", "expectation": "x", "severity": "stop", "success": False}
    gate = {"gate": "loads", "platform": "shop", "as_of": "2000-12-15", "checks": [check]}
    for load, verdict in ((None, "stop"), ("held", "warn"), ("accepted", "warn")):
        summary = NightSummary(as_of="2000-12-15", run_id="x", gates=[gate | {"load": load}])
        assert summary.verdict == verdict
    assert NightSummary(as_of="2000-12-15", run_id="x").verdict == "pass"
    older = {"platform": "shop", "notice": "YELLOW: platform 'shop' ships data of 2000-12-14"}
    summary = NightSummary(as_of="2000-12-15", run_id="x", funnel=[older])
    assert (summary.verdict, summary.notices) == ("warn", (older["notice"],))


def test_json_round_trip(summary):
    assert NightSummary.model_validate_json(summary.model_dump_json()) == summary


def test_a_metric_that_could_not_be_computed_is_never_the_best():
    broken = night(*metrics(challenger=(float("nan"),) * 3, popularity=(0.05, 0.04, 0.06)))
    assert broken.standing("ndcg_at_10").best == "popularity"
    assert broken.model_against_baselines() == ""
    assert NightSummary.model_validate_json(broken.model_dump_json()).standing("ndcg_at_10").best == "popularity"


def test_cohorts_are_no_standing_overall(facts, summary):
    whole = NightSummary.model_validate(
        facts | {"metrics": [row for row in facts["metrics"] if "cohort" not in row]},
    )
    assert summary.standing("ndcg_at_10") == whole.standing("ndcg_at_10")
    assert summary.model_against_baselines() == whole.model_against_baselines()


def test_a_gap_is_between_the_best_and_the_worst_group_that_is_large_enough(summary):
    gaps = summary.gaps()
    assert {respect: [*by_contender] for respect, by_contender in gaps.items()} == {
        "activity": ["challenger", "champion", "popularity"],
        "gender": ["challenger", "champion", "popularity"],
    }
    history = gaps["activity"]["challenger"]  # new people fare worst, but they are 29
    assert (history.best, history.worst) == ("heavy", "light")
    assert history.value == pytest.approx(0.0713 * 0.3)


def test_one_group_alone_has_no_gap(facts):
    kept = [row for row in facts["metrics"] if row.get("cohort") in (None, "activity: heavy", "activity: new")]
    assert NightSummary.model_validate(facts | {"metrics": kept}).gaps() == {}
