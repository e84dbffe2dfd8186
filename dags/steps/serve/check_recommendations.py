"""Gate `recommendations`: check the very lists that would be published, platform by platform."""

import logging

import pyarrow as pa
import pyarrow.compute as pc

from dags.steps.night import Night
from dags.steps.serve.frozen import is_frozen
from expectations.gate import GateStopped, run_gate
from expectations.recommendations import flagged, frame, suite
from infra.publications import current_publication, published_lists
from infra.warehouse import connect, query

log = logging.getLogger(__name__)


def check_recommendations(night: Night) -> None:
    """See that every account that must have a list has one, and that no list holds what must not be shown.

    A platform that keeps its published lists is left out: they passed on their own night.

    Raises:
        GateStopped: names each platform and check that does not hold.
    """
    settings = night.settings
    lists = night.read_table(night.key("lists.parquet"))
    items = query(settings, "from marts.offered_items")
    accounts = query(settings, "from marts.entitled_accounts")
    rows = flagged(lists, items, _consumed(night, lists))
    publication, _ = current_publication(night.lake)
    previous = published_lists(night.lake, publication) if publication else None
    rules = suite(list_size=settings.list_size, max_per_category=settings.max_per_category)
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
            active_accounts=entitled["account_id"],
            available_items=pc.sum(_of(items, platform)["is_on_offer"]).as_py() or 0,
            versions=pc.unique(lists["model_version"]).to_pylist(),
            previous=_of(previous, platform) if previous is not None else None,
            diverse=settings.diversity > 0,
        )
        results.append(run_gate("recommendations", rules, facts, as_of=night.as_of, platform=platform))
        night.write(results[-1], results[-1].key)
        log.info(f"gate recommendations, {platform}: {results[-1].verdict}")
    if stopped := [result for result in results if result.verdict == "stop"]:
        raise GateStopped(*stopped)


def _of(table: pa.Table, platform: str) -> pa.Table:
    return table.filter(pc.equal(table["platform"], platform))


def _consumed(night: Night, lists: pa.Table) -> pa.Table:
    """The persons, platforms and products of the lists that no list of that platform may show that person."""
    with connect(night.settings) as warehouse:
        warehouse.register("lists", lists)
        consumed: pa.Table = warehouse.execute(
            "from marts.person_products semi join lists using (person_id, platform, product_id)"
        ).to_arrow_table()
        return consumed
