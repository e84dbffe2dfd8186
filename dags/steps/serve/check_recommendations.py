"""Gate `recommendations`: check the very lists that would be published, platform by platform."""

import logging

import pyarrow as pa
import pyarrow.compute as pc

from dags.steps.night import Night
from dags.steps.records import ServingModel
from dags.steps.serve.frozen import is_frozen
from dags.steps.serve.listed_rows import active_accounts, compared, listed_rows, rows_lost
from expectations.gate import GateStopped, run_gate
from expectations.recommendations import REASONS, Declared, frame, reason_pattern, suite
from infra.publications import current_publication, published_lists
from infra.warehouse import query
from ml.ranking.rerank import EXPLORED_FROM

log = logging.getLogger(__name__)


def check_recommendations(night: Night) -> None:
    """See that every account that must have a list has its own, that no list holds what must not be shown, and that nothing got lost.

    A platform that keeps its published lists is left out: they passed on their own night.

    Raises:
        GateStopped: names each platform and check that does not hold.
    """
    lists = night.read_table(night.key("lists.parquet"))
    with compared(night, lists) as warehouse:
        rows, lost, population = listed_rows(night, warehouse), rows_lost(warehouse), active_accounts(warehouse)
    items = query(night.settings, "from marts.offered_items")
    accounts = query(night.settings, "from marts.entitled_accounts")
    publication, _ = current_publication(night.lake)
    previous = published_lists(night.lake, publication) if publication else None
    declared = declared_of(night)
    rules = suite(declared)
    results = []
    for platform in night.platforms:
        if is_frozen(night, platform):
            continue
        entitled = _of(accounts, platform)
        if not entitled.num_rows:
            log.warning(f"{platform} has no active account, and so nobody to recommend to")
            continue
        facts = frame(
            _of(rows, platform),
            declared,
            entitled=entitled,
            population=_of(population, platform)["account_id"],
            available_items=pc.sum(_of(items, platform)["is_on_offer"]).as_py() or 0,
            reasons=_reasons(night, platform),
            rows_lost=lost.get(platform, 0),
            versions=pc.unique(lists["model_version"]).to_pylist(),
            previous=_of(previous, platform) if previous is not None else None,
        )
        results.append(run_gate("recommendations", rules, facts, as_of=night.as_of, platform=platform))
        night.write(results[-1], results[-1].key)
        log.info(f"gate recommendations, {platform}: {results[-1].verdict}")
    if stopped := [result for result in results if result.verdict == "stop"]:
        raise GateStopped(*stopped)


def declared_of(night: Night) -> Declared:
    """What settings and the serving model promise of the lists of this night."""
    settings, serving = night.settings, night.read(ServingModel)
    return Declared(
        as_of=night.as_of,
        model_version=None if serving.version is None else str(serving.version),
        list_size=settings.list_size,
        max_per_category=settings.max_per_category,
        diversity=settings.diversity,
        exploration=settings.exploration,
        explored_from=EXPLORED_FROM,
        min_list_length=settings.min_list_length,
        max_short_lists=settings.max_short_lists,
        max_lists_lost=settings.max_lists_lost,
    )


def _of(table: pa.Table, platform: str) -> pa.Table:
    return table.filter(pc.equal(table["platform"], platform))


def _reasons(night: Night, platform: str) -> str:
    """What every reason of a list on ``platform`` matches: a declared kind, which names no platform that does not allow it."""
    generators = query(night.settings, "select reason, reason_otherwise from seeds.generators").to_pylist()
    verbs = query(night.settings, "select distinct verb from seeds.event_types where verb is not null")["verb"]
    worded = [text for generator in generators for text in generator.values() if text]
    words = {
        "verb": verbs.to_pylist(),
        "times": None,
        "platform": [platform],
        "other_platform": [other.name for other in night.platforms.values() if other.is_named_on(platform)],
        "age_group": ["people your age"],
        "category": None,
        "title": None,
    }
    return reason_pattern([*REASONS, *worded], words)
