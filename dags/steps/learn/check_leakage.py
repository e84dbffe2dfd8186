"""Step 6: gate `leakage`."""

import hashlib
import logging
from datetime import date

import pyarrow.compute as pc

from dags.steps.learn.train import code_of, feature_spec
from dags.steps.night import Night
from expectations.gate import GateResult, run_gate
from expectations.leakage import frame, suite
from infra.counterfactual import candidates_at, candidates_of_one_alone, moved
from infra.warehouse import DBT_PROJECT, query

log = logging.getLogger(__name__)

EVERY_EVENT, NO_EVENT = "true", "false"


def check_leakage(night: Night) -> None:
    """Build the newest labelled cut with the future and without it: the same candidates, the same features.

    A cut is checked once, and again where the SQL has changed.

    Raises:
        GateStopped: names the features that moved.
    """
    cut = _newest_labelled_cut(night)
    if cut is None:
        log.info("gate leakage: there is no labelled cut yet")
        return
    fingerprint = fingerprint_of(cut)
    earlier = night.earlier_with("leakage", fingerprint)
    if earlier is not None:
        night.record("gate-leakage", earlier.recorded("gate-leakage"))
        night.record("leakage", earlier.recorded("leakage"))
        log.info(
            f"gate leakage: the cut of {cut} was checked in the night of {earlier.recorded('leakage')['checked_in']}"
        )
        return
    result, candidates = _check(night, cut)
    night.record("gate-leakage", result.model_dump(mode="json"))
    result.raise_if_stopped()
    night.record("leakage", {"fingerprint": fingerprint, "cut": cut, "checked_in": night.as_of})
    log.info(f"gate leakage: {result.verdict}; {candidates:,} candidates of {cut} are the same without the future")


def _check(night: Night, cut: date) -> tuple[GateResult, int]:
    platforms = list(night.platforms)
    log.debug(f"building the cut of {cut} with the future")
    whole = candidates_at(night.settings, cut, night.as_of, platforms, future=EVERY_EVENT)
    log.debug(f"building the cut of {cut} without the future")
    past = candidates_at(night.settings, cut, cut, platforms, future=NO_EVENT)
    features = feature_spec().columns
    result = run_gate(
        "leakage",
        suite(cut, whole.num_rows),
        frame(moved(whole, past, features), other_candidates=candidates_of_one_alone(whole, past)),
        as_of=night.as_of,
    )
    return result, whole.num_rows


def _newest_labelled_cut(night: Night) -> date | None:
    cuts = query(
        night.settings,
        "select as_of from marts.snapshots semi join marts.training_examples using (as_of) where role != 'scoring'",
    )
    cut: date | None = pc.max(cuts["as_of"]).as_py()
    return cut


def fingerprint_of(cut: date) -> str:
    """Identifies the cut, and the SQL and Python that its features are made with."""
    files = [path for folder in ("macros", "models", "seeds") for path in (DBT_PROJECT / folder).rglob("*.*")]
    digest = hashlib.sha256(
        cut.isoformat().encode() + code_of("ranking", "retrieval").encode()
    )  # models in Python call it
    for path in sorted(files):
        digest.update(path.read_bytes())
    return digest.hexdigest()
