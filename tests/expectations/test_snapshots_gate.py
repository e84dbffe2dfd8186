"""The examples of a snapshot beside those of other snapshots and of earlier nights: generated tables, each broken in one way."""

from collections.abc import Callable
from datetime import date, timedelta

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from expectations import snapshots
from expectations.gate import GateResult, run_gate
from ml.evaluation.snapshots import STATISTICS, snapshot_statistics

NIGHT, NEWEST = date(2000, 12, 15), date(2000, 12, 7)
SIGNALS = [f"signal_{number}" for number in range(6)]
NUMERIC = [*SIGNALS, "days_since_first", "price", "rare", "rank"]
PERSONS, CANDIDATES, SNAPSHOTS = 300, 20, 8
SEEDS = range(5)

Fault = Callable[[pa.Table, np.random.Generator], pa.Table]


def of_snapshot(as_of: date, random: np.random.Generator, week: int) -> pa.Table:
    """Positives are one in ten, more or less from week to week. Persons differ, and days_since_first grows every week."""
    persons = int(PERSONS * random.uniform(0.8, 1.25))
    rows = persons * CANDIDATES
    person = np.repeat(np.arange(persons), CANDIDATES)
    label = random.random(rows) < np.repeat(random.beta(2, 18, persons), CANDIDATES) * random.uniform(0.8, 1.25)
    features = {name: random.normal(label * 0.4, 1) for name in SIGNALS}
    features |= {
        "days_since_first": np.repeat(random.exponential(50, persons), CANDIDATES) + 7.0 * week,
        "price": np.exp(random.normal(3, 1, rows)),
        "rare": np.where(random.random(rows) < 0.05, random.random(rows), 0.0),
    }
    return pa.table(
        {
            "as_of": pa.array([as_of] * rows),
            "person_id": [f"p{number}" for number in person],
            "label": pa.array(label.astype("int32")),
            **features,
            "rank": pa.array(random.random(rows), mask=random.random(rows) < 0.8),
            "category": random.choice(["drama", "crime", "war"], rows),
        }
    )


def examples(seed: int, count: int = SNAPSHOTS) -> pa.Table:
    random = np.random.default_rng(seed)
    weeks = range(count)
    return pa.concat_tables(of_snapshot(NEWEST - timedelta(7 * (count - 1 - week)), random, week) for week in weeks)


def statistics(table: pa.Table) -> pa.Table:
    return snapshot_statistics(table, NUMERIC, ["category"])


def check(tonight: pa.Table, past: pa.Table | None = None, *, accepted: bool = False) -> GateResult:
    before = STATISTICS.empty_table() if past is None else statistics(past)
    frame = snapshots.frame(statistics(tonight), before)
    return run_gate("training_data", snapshots.suite(accepted=accepted), frame, as_of=NIGHT)


def newest(table: pa.Table) -> np.ndarray:
    return pc.equal(table["as_of"], pa.scalar(NEWEST)).to_numpy(zero_copy_only=False)


def with_values(table: pa.Table, name: str, values: object) -> pa.Table:
    return table.set_column(table.column_names.index(name), name, pa.array(values, from_pandas=True))


def shuffled(table: pa.Table, where: np.ndarray, random: np.random.Generator) -> pa.Table:
    label = table["label"].to_numpy().copy()
    label[where] = random.permutation(label[where])
    return with_values(table, "label", label)


def leaking(table: pa.Table, where: np.ndarray, random: np.random.Generator) -> pa.Table:
    """A feature with an AUC of .93, in the snapshots ``where``."""
    values = table["price"].to_numpy().copy()
    values[where] = random.normal(table["label"].to_numpy()[where] * 2.09, 1)
    return with_values(table, "price", values)


def scaled(table: pa.Table, where: np.ndarray, name: str, factor: float) -> pa.Table:
    values = table[name].to_numpy().copy()
    values[where] = values[where] * factor
    return with_values(table, name, values)


def nullified(table: pa.Table, where: np.ndarray, name: str) -> pa.Table:
    values = table[name].to_numpy().copy()
    return with_values(table, name, np.where(where, np.nan, values))


def constant(table: pa.Table, where: np.ndarray, name: str) -> pa.Table:
    return with_values(table, name, np.where(where, 3.0, table[name].to_numpy()))


def without_positives(table: pa.Table, where: np.ndarray, random: np.random.Generator, kept: float) -> pa.Table:
    label = table["label"].to_numpy().copy()
    label[where & (random.random(len(label)) > kept)] = 0
    return with_values(table, "label", label)


def thinned(table: pa.Table, where: np.ndarray, random: np.random.Generator, kept: float) -> pa.Table:
    return table.filter(pa.array(~where | (random.random(len(where)) < kept)))


def everywhere(table: pa.Table) -> np.ndarray:
    return np.ones(table.num_rows, bool)


FAULTS: dict[str, tuple[Callable[[pa.Table, np.ndarray, np.random.Generator], pa.Table], str]] = {
    "shuffled labels": (shuffled, "labels that simple features tell apart"),
    "a leak at .93": (leaking, "far better than it did before"),
    "a thousand times larger": (lambda table, where, _: scaled(table, where, "price", 1000), "with other values"),
    "a thousandth": (lambda table, where, _: scaled(table, where, "days_since_first", 0.001), "with other values"),
    "all null": (lambda table, where, _: nullified(table, where, "signal_1"), "missing in many more"),
    "constant": (lambda table, where, _: constant(table, where, "signal_1"), "with one value"),
    "positives gone": (lambda table, where, random: without_positives(table, where, random, 0), "no smaller share"),
    "positives few": (lambda table, where, random: without_positives(table, where, random, 0.2), "no smaller share"),
    "examples halved": (lambda table, where, random: thinned(table, where, random, 0.4), "as many examples"),
}


def descriptions(result: GateResult, severity: str = "stop") -> list[str]:
    return [failed.description for failed in result.failed if failed.severity == severity]


@pytest.mark.parametrize("seed", SEEDS)
def test_clean_examples_pass_in_their_first_night_and_in_every_later_one(seed):
    whole = examples(seed)
    first = check(whole)
    assert first.verdict == "pass", first.failed
    again = check(whole, whole)
    assert again.verdict == "pass", again.failed
    a_week_later = check(whole, whole.filter(pa.array(~newest(whole))))
    assert a_week_later.verdict == "pass", a_week_later.failed


@pytest.mark.parametrize("seed", SEEDS)
def test_weeks_that_differ_and_one_in_which_everybody_comes_at_once_pass(seed):
    """What counts the events of a day is larger for all items then. The demo has such a week: its first night must not stop."""
    whole = examples(seed)
    week = np.unique(whole["as_of"].to_numpy(), return_inverse=True)[1]
    busy = np.array([1.0, 0.8, 1.0, 2.6, 0.8, 1.0, 6.2, 1.0])[week]
    result = check(with_values(whole, "price", whole["price"].to_numpy() * busy))
    assert descriptions(result) == []


@pytest.mark.parametrize("name", [*FAULTS])
@pytest.mark.parametrize("seed", [0, 1])
def test_a_newest_snapshot_that_is_broken_stops(name, seed):
    """Learned from seven older snapshots; their own night was the same. What is halved must be less than any other snapshot has."""
    whole, random = examples(seed), np.random.default_rng(seed)
    fault, said = FAULTS[name]
    result = check(fault(whole, newest(whole), random))
    if name == "examples halved":  # every person is still there, so other weeks had as few examples with all of theirs
        result = check(thinned(whole, newest(whole), random, 0.15))
    assert any(said in description for description in descriptions(result)), result.failed
    assert all("2000-12-07" in failed.observed for failed in result.failed), result.failed


@pytest.mark.parametrize("name", [*FAULTS])
def test_snapshots_that_differ_from_themselves_in_an_earlier_night_stop(name):
    """All snapshots are broken alike, so none can be told by another. What the night before found of each tells."""
    whole, random = examples(3), np.random.default_rng(3)
    fault, said = FAULTS[name]
    result = check(fault(whole, everywhere(whole), random), whole)
    assert any(said in description for description in descriptions(result)), result.failed


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        (lambda table, random: shuffled(table, everywhere(table), random), "labels that simple features tell apart"),
        (lambda table, random: leaking(table, everywhere(table), random), "far better than it did before"),
    ],
)
def test_in_a_first_night_labels_of_noise_and_a_leak_in_all_snapshots_stop(broken, said):
    result = check(broken(examples(4), np.random.default_rng(4)))
    assert any(said in description for description in descriptions(result)), result.failed


@pytest.mark.parametrize("sign", [10, -10])
@pytest.mark.parametrize("count", [1, 2, SNAPSHOTS])
def test_a_feature_that_knows_the_labels_of_a_snapshot_stops_without_any_past(count, sign):
    whole, random = examples(7, count=count), np.random.default_rng(7)
    values = np.where(newest(whole), whole["label"].to_numpy() * sign, 0) + random.normal(0, 1, whole.num_rows)
    result = check(with_values(whole, "price", values))
    [known] = [failed for failed in result.failed if "by itself" in failed.description]
    assert known.severity == "stop"
    assert known.observed.startswith("2000-12-07 price (")
    assert "known_by" in known.remedy


def test_a_feature_that_knows_the_labels_of_older_snapshots_together_stops_also_when_accepted():
    """Each older snapshot has too few positives for an AUC of its own."""
    older = {"price": 0.99, "rare": 0.6}
    frame = snapshots.frame(statistics(examples(0)), STATISTICS.empty_table(), alone_in_older=older)
    for accepted in (False, True):
        result = run_gate("training_data", snapshots.suite(accepted=accepted), frame, as_of=NIGHT)
        assert [(failed.severity, failed.observed) for failed in result.failed] == [
            ("stop", "older snapshots price (0.04)")
        ]
        assert "CROSSREC_ACCEPTED_EXAMPLES" not in result.failed[0].remedy


@pytest.mark.parametrize("name", ["a thousand times larger", "all null", "positives gone"])
def test_a_young_installation_warns_before_it_can_stop(name):
    whole, random = examples(5, count=3), np.random.default_rng(5)
    fault, said = FAULTS[name]
    result = check(fault(whole, newest(whole), random))
    assert descriptions(result) == []
    assert any(said in text and "few snapshots" in text for text in descriptions(result, "warn")), result.failed


def test_the_first_weeks_of_a_history_are_not_like_later_ones_and_only_warn():
    """Nothing can be older than the history. Without its first day the oldest snapshot would stop the first night of a young home."""
    whole = examples(8)
    week = np.unique(whole["as_of"].to_numpy(), return_inverse=True)[1]
    young = with_values(whole, "price", np.where(week == 0, 0.001, whole["price"].to_numpy()))
    oldest = NEWEST - timedelta(7 * (SNAPSHOTS - 1))

    def told(first_day: date | None, past: pa.Table | None = None) -> GateResult:
        before = STATISTICS.empty_table() if past is None else statistics(past)
        frame = snapshots.frame(statistics(young), before, first_day)
        return run_gate("training_data", snapshots.suite(), frame, as_of=NIGHT)

    assert told(None).verdict == "stop"
    assert told(oldest - timedelta(90)).verdict == "stop"
    result = told(oldest - timedelta(89))
    assert result.verdict == "warn"
    assert f"{oldest} price" in result.failed[0].observed
    assert told(oldest - timedelta(10), whole).verdict == "stop", "it differs from itself in an earlier night"


def test_one_older_snapshot_teaches_no_bound():
    whole = examples(6, count=2)
    broken = scaled(whole, newest(whole), "price", 1000)
    assert check(broken).verdict == "pass"


def test_what_a_person_found_right_only_warns():
    whole = examples(7)
    broken = scaled(whole, newest(whole), "price", 1000)
    assert check(broken).verdict == "stop"
    assert check(broken, accepted=True).verdict == "warn"


def test_a_small_difference_of_a_snapshot_that_was_built_again_is_no_fault():
    whole, random = examples(8), np.random.default_rng(8)
    merged = thinned(whole, everywhere(whole), random, 0.96)
    assert check(merged, whole).verdict == "pass"


def test_what_is_found_names_snapshots_and_features_and_no_person():
    whole = examples(9)
    result = check(scaled(whole, newest(whole), "price", 1000))
    [failed] = result.failed
    assert failed.observed.startswith("2000-12-07 price (")
