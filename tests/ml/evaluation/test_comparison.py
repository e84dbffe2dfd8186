from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from ml.evaluation.comparison import Contender, compare
from ml.evaluation.metrics import auc, calibration_error

PEOPLE, ITEMS = 150, 15


@pytest.fixture(scope="module")
def tables() -> tuple[dict[str, pa.Table], pa.Table]:
    """Scores of a good, an equally good and a random contender on two platforms."""
    random = np.random.default_rng(0)
    person = np.repeat([f"p{n:03}" for n in range(PEOPLE)], 2 * ITEMS)
    platform = np.tile(np.repeat(["shop", "stream"], ITEMS), PEOPLE)
    item = np.tile([f"i{n:02}" for n in range(ITEMS)], 2 * PEOPLE)
    taste = np.repeat(random.normal(size=2 * PEOPLE), ITEMS)  # rows of one person go together
    signal = random.normal(size=len(person))
    label = (random.random(len(person)) < 1 / (1 + np.exp(2.5 - 1.5 * signal - taste))).astype(int)
    rows = pa.table({"person_id": person, "platform": platform, "item_id": item, "label": label})
    relevant = rows.group_by(["person_id", "platform"]).aggregate([("label", "sum")])
    relevant = relevant.rename_columns({"label_sum": "relevant"})
    history = pc.if_else(pc.less(relevant["person_id"], "p050"), "new", "heavy")  # of one person the same everywhere
    relevant = relevant.append_column("activity", history)
    scores = {
        "good": signal,
        "alike": signal + 0.01 * random.normal(size=len(signal)),
        "random": random.normal(size=len(signal)),
    }
    return {
        name: rows.append_column("score", pa.array(1 / (1 + np.exp(-values)))) for name, values in scores.items()
    }, relevant


@pytest.fixture(scope="module")
def comparison(tables: tuple[dict[str, pa.Table], pa.Table]) -> pa.Table:
    scored, relevant = tables
    contenders = [Contender(name, table, probabilities=name == "good") for name, table in scored.items()]
    return compare(contenders, relevant, {"shop": 30, "stream": 20}, replicates=400)


def row(
    table: pa.Table,
    contender: str,
    metric: str,
    platform: str = "all",
    against: str | None = None,
    cohort: str = "all",
) -> dict[str, float]:
    opponent = pc.field("against").is_null() if against is None else pc.field("against") == against
    found = table.filter(
        (pc.field("contender") == contender)
        & (pc.field("metric") == metric)
        & (pc.field("platform") == platform)
        & (pc.field("cohort") == cohort)
        & opponent
    ).to_pylist()
    assert len(found) == 1
    return dict(found[0])


def approximately(row: dict[str, Any]) -> dict[str, Any]:
    """To be equal to but for the order of additions."""
    return {name: pytest.approx(value) if isinstance(value, float) else value for name, value in row.items()}


def test_values_are_the_plain_metrics(comparison: pa.Table, tables: tuple[dict[str, pa.Table], pa.Table]) -> None:
    scored, relevant = tables
    judged = {(entry["person_id"], entry["platform"]) for entry in relevant.to_pylist() if entry["relevant"]}
    kept = [entry for entry in scored["good"].to_pylist() if (entry["person_id"], entry["platform"]) in judged]
    labels, scores = (np.array([entry[name] for entry in kept]) for name in ("label", "score"))
    assert row(comparison, "good", "auc")["value"] == pytest.approx(auc(labels, scores))
    assert row(comparison, "good", "coverage", "shop")["value"] == ITEMS / 30
    assert row(comparison, "good", "coverage")["value"] == 2 * ITEMS / 50
    assert row(comparison, "good", "coverage")["low"] is None


def test_a_clear_difference_has_its_interval_beyond_zero(comparison: pa.Table) -> None:
    for platform in ("all", "shop", "stream"):
        for metric in ("ndcg_at_10", "mrr", "auc"):
            better = row(comparison, "good", metric, platform, "random")
            worse = row(comparison, "random", metric, platform, "good")
            assert 0 < better["low"] < better["value"] < better["high"]
            assert worse["value"] == -better["value"]
            assert worse["high"] == pytest.approx(-better["low"])


def test_pairing_makes_the_difference_of_two_alike_narrow(comparison: pa.Table) -> None:
    own = row(comparison, "good", "ndcg_at_10")
    difference = row(comparison, "alike", "ndcg_at_10", against="good")
    assert difference["low"] <= 0 <= difference["high"]
    assert difference["high"] - difference["low"] < (own["high"] - own["low"]) / 5


def test_auc_rows_decide_the_auc_and_nothing_else(
    comparison: pa.Table, tables: tuple[dict[str, pa.Table], pa.Table]
) -> None:
    scored, relevant = tables
    contenders = [
        Contender("good", scored["good"], probabilities=True, auc_rows=scored["random"]),
        Contender("alike", scored["alike"]),
        Contender("random", scored["random"], auc_rows=scored["good"]),
    ]
    compared = compare(contenders, relevant, {"shop": 30, "stream": 20}, replicates=400)
    is_auc = pc.field("metric") == "auc"
    assert compared.filter(~is_auc).to_pylist() == [
        approximately(row) for row in comparison.filter(~is_auc).to_pylist()
    ]
    for platform in ("all", "shop", "stream"):
        for one, other in (("good", "random"), ("random", "good")):
            swapped, plain = row(compared, one, "auc", platform), row(comparison, other, "auc", platform)
            assert swapped == approximately({**plain, "contender": one})
        worse, better = (
            row(compared, "good", "auc", platform, "alike"),
            row(comparison, "random", "auc", platform, "alike"),
        )
        assert worse == approximately({**better, "contender": "good"})


@pytest.mark.parametrize("metric", ["log_loss", "calibration_error"])
def test_only_probabilities_have_a_log_loss_and_a_calibration(comparison: pa.Table, metric: str) -> None:
    assert row(comparison, "good", metric)["value"] > 0
    assert not comparison.filter((pc.field("contender") == "random") & (pc.field("metric") == metric)).num_rows


def test_calibration_is_that_of_a_platforms_rows(
    comparison: pa.Table, tables: tuple[dict[str, pa.Table], pa.Table]
) -> None:
    scored, relevant = tables
    found = relevant.filter((pc.field("relevant") > 0) & (pc.field("platform") == "shop"))
    rows = scored["good"].join(found, ["person_id", "platform"], join_type="inner")
    expected = calibration_error(rows["label"].to_numpy(), rows["score"].to_numpy())
    assert row(comparison, "good", "calibration_error", "shop")["value"] == pytest.approx(expected)


def test_a_cohort_is_compared_as_if_there_were_no_other(
    comparison: pa.Table, tables: tuple[dict[str, pa.Table], pa.Table]
) -> None:
    scored, relevant = tables
    alone = relevant.filter(pc.field("activity") == "new").drop_columns("activity")
    contenders = [Contender(name, table) for name, table in scored.items()]
    expected = compare(contenders, alone, {"shop": 30, "stream": 20}, replicates=400)
    for against in (None, "random"):
        cohort = row(comparison, "good", "ndcg_at_10", against=against, cohort="activity: new")
        assert cohort == approximately(
            row(expected, "good", "ndcg_at_10", against=against) | {"cohort": "activity: new"}
        )
    people = {
        name: row(comparison, "good", "mrr", cohort=name)["people"] for name in ("activity: new", "activity: heavy")
    }
    assert sum(people.values()) == row(comparison, "good", "mrr")["people"]
    assert people["activity: new"] <= 50


def test_a_metric_is_left_out_for_whom_its_columns_are_missing(tables: tuple[dict[str, pa.Table], pa.Table]) -> None:
    scored, relevant = tables
    plain = scored["good"]
    told = plain.append_column("category", plain["item_id"]).append_column(
        "popularity", pa.array(np.full(len(plain), 0.25))
    )
    relevant = relevant.append_column("popularity", pa.array(np.full(len(relevant), 0.2)))
    compared = compare([Contender("told", told), Contender("plain", plain)], relevant, {"shop": 30, "stream": 20}, 50)
    for metric, value in (("novelty", 2.0), ("intra_list_diversity", 1.0), ("popularity_lift", 0.25)):
        for platform in ("all", "shop"):
            assert row(compared, "told", metric, platform)["value"] == pytest.approx(value)
        assert row(compared, "told", metric, cohort="activity: new")["high"] == pytest.approx(value)
        assert not compared.filter((pc.field("contender") == "plain") & (pc.field("metric") == metric)).num_rows
        assert not compared.filter((pc.field("against") == "plain") & (pc.field("metric") == metric)).num_rows


def test_auc_interval_agrees_with_resampling_whole_people(
    comparison: pa.Table, tables: tuple[dict[str, pa.Table], pa.Table]
) -> None:
    scored, relevant = tables
    judged = scored["good"].join(
        relevant.filter(pc.field("relevant") > 0), ["person_id", "platform"], join_type="inner"
    )
    person = pc.rank(judged["person_id"], tiebreaker="dense").to_numpy() - 1
    labels, scores = judged["label"].to_numpy(), judged["score"].to_numpy()
    rows_of = [np.flatnonzero(person == index) for index in range(person.max() + 1)]
    random = np.random.default_rng(1)
    draws = []
    for _ in range(300):
        rows = np.concatenate([rows_of[index] for index in random.integers(len(rows_of), size=len(rows_of))])
        draws.append(auc(labels[rows], scores[rows]))
    measured = row(comparison, "good", "auc")
    assert measured["high"] - measured["low"] == pytest.approx(np.ptp(np.quantile(draws, [0.025, 0.975])), rel=0.2)


def test_same_seed_same_table(tables: tuple[dict[str, pa.Table], pa.Table]) -> None:
    scored, relevant = tables
    contenders = [Contender("good", scored["good"]), Contender("random", scored["random"])]
    sizes = {"shop": 30, "stream": 20}
    first, again, other = (compare(contenders, relevant, sizes, replicates=50, seed=seed) for seed in (1, 1, 2))
    assert first.equals(again)
    assert not first.equals(other)


def test_people_are_those_with_something_to_find(
    comparison: pa.Table, tables: tuple[dict[str, pa.Table], pa.Table]
) -> None:
    found = tables[1].filter(pc.field("relevant") > 0)
    assert row(comparison, "good", "mrr")["people"] == len(pc.unique(found["person_id"]))
    assert row(comparison, "good", "mrr", "shop")["people"] == found.filter(pc.field("platform") == "shop").num_rows


def test_names_are_unique(tables: tuple[dict[str, pa.Table], pa.Table]) -> None:
    scored, relevant = tables
    with pytest.raises(ValueError, match="different names"):
        compare([Contender("a", scored["good"]), Contender("a", scored["random"])], relevant, {})


def test_a_score_beside_the_probability_ranks_and_is_not_judged_as_one(tables) -> None:
    """Lists go by the score; log loss and calibration by the probability."""
    scored, relevant = tables
    probable = scored["good"].append_column("probability", scored["good"]["score"])
    ranks = probable.set_column(
        probable.column_names.index("score"), "score", pc.multiply(scored["random"]["score"], 100.0)
    )
    contenders = [
        Contender("good", scored["good"], probabilities=True),
        Contender("random", scored["random"], probabilities=True),
        Contender("both", ranks, probabilities=True),
    ]
    found = compare(contenders, relevant, {"shop": 30, "stream": 20}, replicates=10)
    for metric, like in (
        ("ndcg_at_10", "random"),
        ("auc", "random"),
        ("log_loss", "good"),
        ("calibration_error", "good"),
    ):
        assert row(found, "both", metric)["value"] == pytest.approx(row(found, like, metric)["value"]), metric
