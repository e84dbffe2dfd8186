"""Step 6: gate `transfer`, and the sources it drops."""

import hashlib
import json
import logging

import pyarrow as pa

from dags.steps.learn.build_marts import build_candidates_anew
from dags.steps.learn.train import code_of, digest_of
from dags.steps.night import Night
from expectations.gate import run_gate
from expectations.transfer import frame, suite
from infra.counterfactual import replace_candidates
from infra.warehouse import query
from ml.evaluation.promotion import LARGE_COHORT
from ml.evaluation.transfer import SCHEMA, dropped, judge, lists_by_source

log = logging.getLogger(__name__)

APPLIED = "transfer/applied.json"


def check_transfer(night: Night) -> None:
    """Which platforms' histories help the others' lists; one that does not is dropped for those it does not help.

    A dropped source warns and does not stop: its target's candidates are made as if nothing had ever happened there.
    """
    measured = judged_on(night)
    if not measured["wanted"].num_rows:
        log.info("gate transfer: there is no labelled cut yet")
        return
    parts = [str(night.settings.seed), code_of("evaluation"), *(digest_of(table) for table in measured.values())]
    fingerprint = hashlib.sha256("|".join(parts).encode()).hexdigest()
    earlier = night.earlier_with("transfer", fingerprint)
    if earlier is not None:
        judged = pa.Table.from_pylist(earlier.recorded("transfer")["judged"], SCHEMA)
    else:
        judged = judge(lists_by_source(**measured, seed=night.settings.seed))
    sources = dropped(judged)
    night.record("transfer", {"fingerprint": fingerprint, "judged": judged.to_pylist(), "dropped": sources})
    result = run_gate("transfer", suite(), frame(judged), as_of=night.as_of)
    night.record("gate-transfer", result.model_dump(mode="json"))
    _apply(night, sources)
    said = "; ".join(f"{target} does without {', '.join(without)}" for target, without in sources.items())
    kept = "every platform keeps all its sources"
    if set(judged["verdict"].to_pylist()) <= {"too few"}:
        kept += f", for none was judged: it takes {LARGE_COHORT} people with a history on another platform"
    log.info(f"gate transfer: {result.verdict}; {said or kept}")


def judged_on(night: Night) -> dict[str, pa.Table]:
    """What `lists_by_source` is given. Who only took again what they had tells nothing, and is none of the people judged."""
    models = {
        "wanted": "transfer_labels",
        "takes": "transfer_interactions",
        "leads": "transfer_similar_items",
        "offers": "transfer_offers",
    }
    return {name: query(night.settings, f"from marts.{model} order by all") for name, model in models.items()}


def _apply(night: Night, sources: dict[str, list[str]]) -> None:
    """Candidates of every target that does without some sources are made without them; all others' are as they were."""
    try:
        applied = night.read_json(APPLIED)
    except FileNotFoundError:
        applied = {}
    if applied not in ({}, sources):
        log.info("other sources are dropped than before; all candidates are built again")
        build_candidates_anew(night)
    # first: a task that was killed halfway leaves candidates of which this tells
    if applied or sources:
        night.lake.put(APPLIED, json.dumps(sources, sort_keys=True).encode())
    for without in sorted({tuple(names) for names in sources.values()}):
        targets = [target for target, names in sources.items() if tuple(names) == without]
        log.debug(f"building candidates of {', '.join(targets)} without {', '.join(without)}")
        replace_candidates(night.settings, night.as_of, list(night.platforms), targets=targets, without=without)
