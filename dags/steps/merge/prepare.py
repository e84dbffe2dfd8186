"""Step 4: dbt builds what the linkage reads."""

import pyarrow as pa
import pyarrow.compute as pc

from dags.steps.dbt import STAGE, build
from dags.steps.night import Night
from infra.platforms import gone_keys

GONE_KEYS = pa.schema(
    [("platform", pa.string()), ("contract", pa.string()), ("load_date", pa.date32()), ("row_key", pa.string())]
)


def prepare(night: Night) -> None:
    """Build the intermediate models, with their tests. Step `stage` built what they read."""
    night.write_table(night.key("gone_keys.parquet"), _gone_keys(night))
    build(night, "tag:prepare", exclude=STAGE)


def _gone_keys(night: Night) -> pa.Table:
    """The keys that accounts and items lost in the good loads; null for a key of several columns, which is no id."""
    found = [GONE_KEYS.empty_table()]
    for name, platform in night.platforms.items():
        for table in (table for table in platform.tables if table.contract in ("accounts", "items")):
            gone = gone_keys(night.lake, night.loads(name, table.name), night.settings)
            is_id = pc.equal(pc.list_value_length(gone["key"]), 1)
            row_key = pc.if_else(is_id, pc.list_element(gone["key"], 0), pa.scalar(None, pa.string()))
            contract = pa.repeat(pa.scalar(table.contract), gone.num_rows)
            columns = [gone["platform"], contract, gone["load_date"], row_key]
            found.append(pa.table(columns, schema=GONE_KEYS))
    return pa.concat_tables(found)
