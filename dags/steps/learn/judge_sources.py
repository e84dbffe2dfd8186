"""Step 6: gate `transfer`."""

import logging

import pyarrow as pa

from dags.steps.learn.fingerprints import code_of, digest_of, fingerprint_of
from dags.steps.night import Night
from dags.steps.records import JudgedSources
from expectations.gate import run_gate
from expectations.transfer import frame, suite
from infra.report.facts import JudgedSource
from infra.warehouse import query
from ml.evaluation.promotion import LARGE_COHORT
from ml.evaluation.transfer import SCHEMA, TOO_FEW, excluded_sources, judge, lists_by_source

log = logging.getLogger(__name__)


def judge_sources(night: Night) -> None:
    """Judge which platforms' histories help the others' lists.

    A source that does not help warns and does not stop the night: `exclude_sources` leaves it out for the platforms that it
    does not help.
    """
    measured = judged_on(night)
    if not measured["wanted"].num_rows:
        night.write(JudgedSources(judged=(), excluded={}))
        log.info("gate transfer: there is no labelled snapshot yet")
        return
    digests = (digest_of(table) for table in measured.values())
    fingerprint = fingerprint_of(str(night.settings.seed), code_of("evaluation"), *digests)
    sources = night.earlier_with(JudgedSources, fingerprint) or _judge(night, measured, fingerprint)
    night.write(sources)
    judged = pa.Table.from_pylist([row.model_dump() for row in sources.judged], SCHEMA)
    result = run_gate("transfer", suite(), frame(judged), as_of=night.as_of)
    night.write(result, result.key)
    log.info(f"gate transfer: {result.verdict}; {_in_words(sources)}")


def judged_on(night: Night) -> dict[str, pa.Table]:
    """The arguments of `lists_by_source`. Persons who only interacted again with what they had tell nothing and are left out."""
    models = {
        "wanted": "transfer_labels",
        "interactions": "transfer_interactions",
        "similar_items": "transfer_similar_items",
        "offers": "transfer_offers",
    }
    return {name: query(night.settings, f"from marts.{model} order by all") for name, model in models.items()}


def _judge(night: Night, measured: dict[str, pa.Table], fingerprint: str) -> JudgedSources:
    judged = judge(lists_by_source(**measured, seed=night.settings.seed))
    return JudgedSources(
        fingerprint=fingerprint,
        judged=tuple(JudgedSource.model_validate(row) for row in judged.to_pylist()),
        excluded={target: tuple(sources) for target, sources in excluded_sources(judged).items()},
    )


def _in_words(sources: JudgedSources) -> str:
    if sources.excluded:
        return "; ".join(f"{target} does without {', '.join(without)}" for target, without in sources.excluded.items())
    kept = "every platform keeps all its sources"
    if {row.verdict for row in sources.judged} <= {TOO_FEW}:
        kept += f", for none was judged: a judgement needs {LARGE_COHORT} people with a history on another platform"
    return kept
