"""Step 10: gate `recommendations`, on the very lists that would be published, platform by platform."""

import logging

import pyarrow as pa
import pyarrow.compute as pc

from dags.steps.night import Night
from dags.steps.serve.publish import current_publication, published_lists
from expectations.gate import GateStopped, run_gate
from expectations.recommendations import frame, suite
from infra.warehouse import connect

log = logging.getLogger(__name__)


def check_recommendations(night: Night) -> None:
    """Complete, well-formed lists for every active account, and nothing in them that must not be shown.

    Raises:
        GateStopped: names each platform and check that does not hold.
    """
    settings = night.settings
    lists = night.read_table(night.key("lists.parquet"))
    with connect(settings) as warehouse:
        warehouse.register("lists", lists)
        flagged = warehouse.execute(FLAGGED).to_arrow_table()
        accounts = warehouse.execute(ENTITLED, {"as_of": night.as_of}).to_arrow_table()
        available = warehouse.execute(
            "select platform, count(*) from marts.product_items where is_available and created_at < $as_of group by all",
            {"as_of": night.as_of},
        ).fetchall()
    publication, _ = current_publication(night.lake)
    previous = published_lists(night.lake, publication) if publication else None
    offered = dict(available)
    results = []
    for platform in night.platforms:
        active = _of(accounts, platform)
        if not active.num_rows:
            log.warning(f"{platform} has no active account, and so nobody to recommend to")
            continue
        rows = frame(
            _of(flagged, platform),
            active_accounts=active["account_id"],
            available_items=offered.get(platform, 0),
            previous=_of(previous, platform) if previous is not None else None,
            diverse=settings.diversity > 0,
        )
        rules = suite(list_size=settings.list_size, max_per_category=settings.max_per_category)
        results.append(run_gate("recommendations", rules, rows, as_of=night.as_of, platform=platform))
        night.write(results[-1], results[-1].key)
        log.info(f"gate recommendations, {platform}: {results[-1].verdict}")
    if stopped := [result for result in results if result.verdict == "stop"]:
        raise GateStopped(*stopped)


def _of(table: pa.Table, platform: str) -> pa.Table:
    return table.filter(pc.equal(table["platform"], platform))


FLAGGED = """
select
    lists.*,
    taken.person_id is not null as is_consumed,
    coalesce(items.is_available, false) as is_available,
    items.item_id is not null as in_catalogue,
    bans.product_id is not null as is_banned
from lists
left join marts.person_products as taken
    on
        lists.person_id = taken.person_id
        and lists.platform = taken.platform
        and lists.product_id = taken.product_id
left join marts.product_items as items on lists.platform = items.platform and lists.item_id = items.item_id
left join (select distinct platform, product_id from marts.active_rules where rule = 'ban') as bans
    on items.platform = bans.platform and items.product_id = bans.product_id
order by lists.platform, lists.account_id, lists.rank
"""
# whoever took all that the platform offers, or may, has nothing left to be recommended, and stops nobody else's night
ENTITLED = """
with offered as (
    select distinct platform, product_id from marts.product_items where is_available and created_at < $as_of
    except
    select platform, product_id from marts.active_rules where rule = 'ban'
),
offers as (
    select platform, count(*) as products from offered group by all
),
had as (
    select person_id, platform, count(*) as products
    from marts.person_products
    inner join offered using (platform, product_id)
    group by all
)
select accounts.platform, accounts.account_id
from marts.person_accounts as accounts
left join offers using (platform)
left join had using (person_id, platform)
where accounts.created_at < $as_of and (offers.products is null or coalesce(had.products, 0) < offers.products)
"""
