"""Step 6: gate `training_data`."""

import logging

import pyarrow as pa
import pyarrow.compute as pc

from dags.steps.conservation import prove
from dags.steps.learn.examples import examples_of, feature_spec
from dags.steps.learn.fingerprints import examples_fingerprint, newest_table
from dags.steps.learn.history import ShortHistory, too_short_history
from dags.steps.learn.label_lines import label_lines
from dags.steps.night import Night
from expectations import snapshots
from expectations.gate import GateResult, run_gate
from expectations.training_data import (
    frame,
    frame_of_features,
    suite,
    suite_of_features,
    suite_of_nothing,
    suite_of_short_history,
)
from infra.warehouse import query
from ml.evaluation.canary import aucs_alone
from ml.evaluation.snapshots import STATISTICS, snapshot_statistics

log = logging.getLogger(__name__)

REMEDY = (
    "look for an inner join or a filter in `snapshot_labels` (positives), `training_examples` (labels, proposed) and "
    "`candidates` (labels); then build them again: `crossrec dbt build --full-refresh --select snapshot_labels+`"
)
STATISTICS_KEY = "training_statistics.parquet"


def check_training_data(night: Night) -> None:
    """Check the examples that tonight's model would learn from: none lost, grain, labels, features, candidate recall, no leak, the past.

    Before the first model a history that is too short only warns, because popular lists need no model. What the snapshots are like
    is kept for later nights where the gate lets the night pass.

    Raises:
        GateStopped: names each check that does not hold.
    """
    history = too_short_history(night)
    result, statistics = (_short(night, history), None) if history else _learnable(night)
    night.write(result, result.key)
    result.raise_if_stopped()
    if not history and (lines := [*label_lines(night)]):
        prove(night, "labels", lines, remedy=REMEDY)
    if statistics is not None:
        night.write_table(night.key(STATISTICS_KEY), statistics)


def _short(night: Night, history: ShortHistory) -> GateResult:
    log.warning(
        f"there is not enough history yet for a model: {history.days} days of events, and a model needs "
        f"{history.days_needed}. Until the night of {history.first_night} everybody gets popular lists."
    )
    rules = suite_of_short_history(history.days_needed, history.first_night)
    return run_gate("training_data", rules, pa.table({"days_of_history": [history.days]}), as_of=night.as_of)


def _learnable(night: Night) -> tuple[GateResult, pa.Table | None]:
    spec = feature_spec()
    [recall] = query(night.settings, "from marts.candidate_recall")["recall"].to_pylist()
    examples = examples_of(night)
    if not examples.num_rows:
        return run_gate("training_data", suite_of_nothing(), examples, as_of=night.as_of), None
    constant = [feature.name for feature in spec.features if feature.may_be_constant]
    of_features = frame_of_features(examples, spec.numeric, spec.categorical, may_be_constant=constant)
    result = _together(
        run_gate("training_data", suite(), frame(examples, candidate_recall=recall), as_of=night.as_of),
        run_gate("training_data", suite_of_features(), of_features, as_of=night.as_of),
    )
    statistics = None
    # a fault of single rows is told by itself: statistics of such rows would only repeat it
    if result.verdict != "stop":
        tonight = snapshot_statistics(examples, spec.numeric, spec.categorical)
        fingerprint = examples_fingerprint(night)
        past = newest_table(night, STATISTICS_KEY, fingerprint, STATISTICS)
        rules = snapshots.suite(accepted=night.settings.accepted_examples == night.as_of)
        [first_day] = query(
            night.settings,
            "select cast(min(greatest(occurred_at, known_at)) as date) as first_day from marts.interactions",
        )["first_day"].to_pylist()
        older = examples.filter(pc.less(examples["as_of"], pc.max(examples["as_of"])))
        alone = aucs_alone(older, spec.numeric, spec.categorical)
        found = snapshots.frame(tonight, past, first_day, alone)
        result = _together(result, run_gate("training_data", rules, found, as_of=night.as_of))
        statistics = _kept(tonight, past, fingerprint)
    log.info(f"gate training_data: {result.verdict}; {examples.num_rows:,} examples, candidate recall {recall:.1%}")
    return result, statistics


def _kept(tonight: pa.Table, past: pa.Table, fingerprint: str) -> pa.Table:
    """What later nights compare themselves with: tonight's snapshots, and those of the past that tonight no longer has."""
    gone = past.filter(pc.invert(pc.is_in(past["as_of"], pc.unique(tonight["as_of"]))))
    both = pa.concat_tables([gone, tonight])
    return both.append_column("fingerprint", pa.repeat(pa.scalar(fingerprint), both.num_rows))


def _together(first: GateResult, second: GateResult) -> GateResult:
    return first.model_copy(update={"checks": (*first.checks, *second.checks)})
