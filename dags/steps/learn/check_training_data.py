"""Step 6: gate `training_data`."""

import logging

import pyarrow as pa
import pyarrow.compute as pc

from dags.steps.learn.examples import examples_of, feature_spec
from dags.steps.learn.history import ShortHistory, too_short_history
from dags.steps.night import Night
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
from ml.ranking.network.features import FeatureSpec

log = logging.getLogger(__name__)


def check_training_data(night: Night) -> None:
    """Check the examples that tonight's model would learn from: grain, labels, features, candidate recall, and no leak.

    Before the first model a history that is too short only warns, because popular lists need no model.

    Raises:
        GateStopped: names each check that does not hold.
    """
    history = too_short_history(night)
    result = _short(night, history) if history else _learnable(night)
    night.write(result, result.key)
    result.raise_if_stopped()


def _short(night: Night, history: ShortHistory) -> GateResult:
    log.warning(
        f"there is not enough history yet for a model: {history.days} days of events, and a model needs "
        f"{history.days_needed}. Until the night of {history.first_night} everybody gets popular lists."
    )
    rules = suite_of_short_history(history.days_needed, history.first_night)
    return run_gate("training_data", rules, pa.table({"days_of_history": [history.days]}), as_of=night.as_of)


def _learnable(night: Night) -> GateResult:
    spec = feature_spec()
    [recall] = query(night.settings, "from marts.candidate_recall")["recall"].to_pylist()
    constant = [feature.name for feature in spec.features if feature.may_be_constant]
    examples = examples_of(night)
    result = run_gate(
        "training_data",
        suite(spec.numeric, spec.categorical, may_be_constant=constant) if examples.num_rows else suite_of_nothing(),
        frame(examples, candidate_recall=recall),
        as_of=night.as_of,
    )
    if examples.num_rows:
        result = result.model_copy(update={"checks": (*result.checks, *_canary(night, examples, spec).checks)})
    log.info(f"gate training_data: {result.verdict}; {examples.num_rows:,} examples, candidate recall {recall:.1%}")
    return result


def _canary(night: Night, examples: pa.Table, spec: FeatureSpec) -> GateResult:
    newest = pc.max(examples["as_of"])
    alone = (
        aucs_alone(examples.filter(snapshots), spec.numeric, spec.categorical)
        for snapshots in (pc.equal(examples["as_of"], newest), pc.less(examples["as_of"], newest))
    )
    return run_gate("training_data", suite_of_features(), frame_of_features(*alone), as_of=night.as_of)
