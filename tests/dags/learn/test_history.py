"""When the first model can be trained: on weekly snapshots, which lie on Thursdays, and a horizon of a week."""

from datetime import date
from pathlib import Path

import duckdb
import pytest

from dags.steps.learn.check_training_data import check_training_data
from dags.steps.learn.history import ShortHistory, first_night_to_learn, too_short_history
from dags.steps.learn.train import train
from dags.steps.night import Night
from expectations.gate import GateResult
from infra.mlflow.registry import Registry
from infra.settings import Settings
from tests.compiled import create_views

OLD, CUT, HELD_OUT, AS_OF = (date(1997, *day) for day in ((9, 11), (9, 18), (9, 25), (10, 4)))


@pytest.mark.parametrize(
    ("first_day", "snapshot", "expected"),
    [
        # events from Saturday 20 September: Thursday 25 has a past, 2 October is held out, and known by the 9th
        (date(1997, 9, 20), date(1997, 9, 18), date(1997, 10, 9)),
        (date(1997, 9, 20), date(1997, 8, 28), date(1997, 10, 9)),
        # a snapshot sees what was known before its day, not on it
        (date(1997, 9, 25), date(1997, 9, 25), date(1997, 10, 16)),
        (date(1997, 9, 24), date(1997, 9, 18), date(1997, 10, 9)),
    ],
)
def test_the_first_night_to_learn(first_day: date, snapshot: date, expected: date) -> None:
    assert first_night_to_learn(first_day, snapshot, every=7, horizon=7) == expected


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of one registry for all tests, in which nothing is registered."""
    return tmp_path_factory.mktemp("home")


def night_after(home: Path, events: list[tuple[str, str, str]], teaching: tuple[date, ...] = ()) -> Night:
    """The night of ``AS_OF`` after events (person, event, day), with pairs of people and platforms at the ``teaching`` snapshots."""
    night = Night(AS_OF, settings=Settings(home=home))
    night.settings.warehouse_path.unlink(missing_ok=True)
    with duckdb.connect(str(night.settings.warehouse_path)) as warehouse:
        warehouse.execute("create schema marts")
        warehouse.execute(
            "create table marts.snapshots as select cast(as_of as date) as as_of, role from (values"
            " ($old, 'training'), ($snapshot, 'training'), ($held_out, 'evaluation'), ($as_of, 'scoring')) as snapshots (as_of, role)",
            {"old": OLD, "snapshot": CUT, "held_out": HELD_OUT, "as_of": AS_OF},
        )
        warehouse.execute(
            "create table marts.interactions (person_id text, event_id text, occurred_at timestamp);"
            "alter table marts.interactions add platform text default 'shop';"
            "alter table marts.interactions add known_at timestamp default timestamp '1997-01-01'"
        )
        for event in events:
            warehouse.execute(
                "insert into marts.interactions (person_id, event_id, occurred_at) values ($1, $2, $3)", event
            )
        warehouse.execute("create table marts.candidate_pairs (as_of date)")
        for snapshot in teaching:
            warehouse.execute("insert into marts.candidate_pairs values ($1)", [snapshot])
        create_views(warehouse, "history_bounds")
    return night


LONELY = [("P1", "e1", "1997-09-16"), ("P2", "e2", "1997-09-17")]


@pytest.mark.parametrize(
    ("events", "teaching", "expected"),
    [
        # events before the newest snapshot to train on, but nobody has two before the one that is held out
        ([*LONELY, ("P1", "e3", "1997-09-20")], (HELD_OUT,), ShortHistory(18, 23, date(1997, 10, 9))),
        # two by then, and no positive interaction in that week: the next snapshot is the first that may teach
        ([*LONELY, ("P1", "e3", "1997-09-20")], (), ShortHistory(18, 30, date(1997, 10, 16))),
        ([*LONELY, ("P1", "e3", "1997-10-02")], (), ShortHistory(18, 37, date(1997, 10, 23))),
        # an event that was corrected is one event; nobody has two yet, nor can before the night itself
        ([*LONELY, ("P1", "e1", "1997-09-17")], (), ShortHistory(18, 37, date(1997, 10, 23))),
        # two before the snapshot to train on: no positive interaction after it, but one a week later
        ([*LONELY, ("P1", "e3", "1997-09-17")], (HELD_OUT,), ShortHistory(18, 23, date(1997, 10, 9))),
        # a snapshot to train on teaches, or nothing came of a long history: the gate judges the examples
        ([*LONELY, ("P1", "e3", "1997-09-17")], (CUT,), None),
        ([*LONELY, ("P1", "e3", "1997-09-17")], (OLD, HELD_OUT), None),
        ([*LONELY, ("P1", "e3", "1997-09-17")], (), None),
        ([], (), None),
    ],
)
def test_what_is_missing_before_a_model_can_learn(
    home: Path, events: list[tuple[str, str, str]], teaching: tuple[date, ...], expected: ShortHistory | None
) -> None:
    assert too_short_history(night_after(home, events, teaching)) == expected


def test_a_pilot_whose_only_examples_are_held_out_goes_on_without_a_model(
    home: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "dags.steps")
    night = night_after(home, [*LONELY, ("P1", "e3", "1997-09-20")], (HELD_OUT,))
    check_training_data(night)
    train(night)
    assert night.read(GateResult, "training_data").verdict == "warn"
    assert (
        "18 days of events, and a model needs 23. Until the night of 1997-10-09 everybody gets popular lists"
        in caplog.text
    )
    assert "nothing is trained: there is not enough history yet" in caplog.text
    assert Registry(night.settings).challenger() is None
