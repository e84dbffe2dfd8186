"""Step 6: gate `leakage`."""

import logging
from datetime import date

import pyarrow.compute as pc

from dags.steps.learn.examples import feature_spec
from dags.steps.learn.fingerprints import code_of, fingerprint_of
from dags.steps.night import Night
from dags.steps.records import LeakageCheck
from expectations.gate import GateResult, run_gate
from expectations.leakage import frame, suite
from infra.counterfactuals.candidates import candidates_at
from infra.counterfactuals.comparison import candidates_of_one_alone, moved
from infra.warehouse import DBT_PROJECT, query

log = logging.getLogger(__name__)

EVERY_EVENT, NO_EVENT = "true", "false"


def check_leakage(night: Night) -> None:
    """Build the newest labelled snapshot with the future and without it, and expect the same candidates and features.

    A snapshot is checked once, and again where the SQL has changed.

    Raises:
        GateStopped: names the features that differ.
    """
    snapshot = newest_labelled_snapshot(night)
    if snapshot is None:
        log.info("gate leakage: there is no labelled snapshot yet")
        return
    fingerprint = sql_fingerprint(snapshot)
    checked = night.earlier_with(LeakageCheck, fingerprint)
    if checked is not None:
        log.info(f"gate leakage: the snapshot of {snapshot} was checked in the night of {checked.checked_in}")
    else:
        result = _check(night, snapshot)
        night.write(result, result.key)
        result.raise_if_stopped()
        checked = LeakageCheck(fingerprint=fingerprint, snapshot=snapshot, checked_in=night.as_of, result=result)
    night.write(checked.result, checked.result.key)
    night.write(checked)


def _check(night: Night, snapshot: date) -> GateResult:
    log.debug(f"building the snapshot of {snapshot} with the future")
    whole = candidates_at(night.settings, snapshot, night.as_of, future=EVERY_EVENT)
    log.debug(f"building the snapshot of {snapshot} without the future")
    past = candidates_at(night.settings, snapshot, snapshot, future=NO_EVENT)
    result = run_gate(
        "leakage",
        suite(snapshot, whole.num_rows),
        frame(moved(whole, past, feature_spec().columns), other_candidates=candidates_of_one_alone(whole, past)),
        as_of=night.as_of,
    )
    log.info(
        f"gate leakage: {result.verdict}; {whole.num_rows:,} candidates of {snapshot} with the future and without it"
    )
    return result


def newest_labelled_snapshot(night: Night) -> date | None:
    labelled = query(
        night.settings,
        "select as_of from marts.snapshots semi join marts.training_examples using (as_of) where role != 'scoring'",
    )
    newest: date | None = pc.max(labelled["as_of"]).as_py()
    return newest


def sql_fingerprint(snapshot: date) -> str:
    """Identifies the snapshot, and the SQL and Python that make its features."""
    files = [path for folder in ("macros", "models", "seeds") for path in (DBT_PROJECT / folder).rglob("*.*")]
    content = [path.read_bytes().hex() for path in sorted(files)]
    return fingerprint_of(snapshot.isoformat(), code_of("ranking", "retrieval"), *content)  # models in Python call `ml`
