"""Put the ranked rows of all shards together: one list with reasons for every account."""

import logging

import pyarrow as pa
import pyarrow.compute as pc

from dags.steps.dbt import LISTS, build
from dags.steps.night import Night
from dags.steps.records import ListCount, ListCounts
from dags.steps.serve.frozen import freeze
from infra.excluded_sources import SCHEMA, read_excluded
from infra.warehouse import query

log = logging.getLogger(__name__)


def assemble_lists(night: Night) -> None:
    """Build the night's lists by dbt from the ranked rows, and leave them in the lake as they would be published.

    Platforms whose data are too old get none, see `dags.steps.serve.frozen`.
    """
    _hand_over(night)
    build(night, LISTS)
    lists = freeze(night, query(night.settings, "from marts.recommendations order by platform, account_id, rank"))
    night.write_table(night.key("lists.parquet"), lists)
    unknown = query(night.settings, "from marts.active_rules where product_id is null order by all")
    for rule in unknown.to_pylist():
        log.warning(
            f"list_rules.csv has a {rule['rule']} of item '{rule['item_id']}', which {rule['platform']} does not have"
        )
    accounts = lists.filter(pc.equal(lists["rank"], 1))
    counts = accounts.group_by(["platform", "strategy"]).aggregate([("account_id", "count")]).to_pylist()
    counts.sort(key=lambda row: (row["platform"], row["strategy"]))
    night.write(
        ListCounts(
            counts=tuple(
                ListCount(platform=row["platform"], strategy=row["strategy"], accounts=row["account_id_count"])
                for row in counts
            )
        )
    )
    log.info(f"{accounts.num_rows:,} accounts have a list")


def _hand_over(night: Night) -> None:
    """Leave in the lake what dbt's source `ranking` reads, and what a later night values another model's choices by."""
    for name in ("ranked", "explorable"):
        shards = range(night.settings.scoring_shards)
        whole = pa.concat_tables(night.read_table(night.key(f"{name}/shard={shard}.parquet")) for shard in shards)
        night.write_table(night.key(f"{name}.parquet"), whole)
    excluded = read_excluded(night.lake)
    pairs = [{"target": target, "source": source} for target, sources in excluded.items() for source in sources]
    night.write_table(night.key("excluded_sources.parquet"), pa.Table.from_pylist(pairs, SCHEMA))
