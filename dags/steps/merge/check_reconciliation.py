"""Step 3's gate: raw = staged + duplicates + quarantined, for every platform and contract."""

import logging
from collections import Counter

import pyarrow as pa

from dags.steps.night import Night
from dags.steps.records import RowCount, RowCounts
from expectations.gate import run_gate
from expectations.reconciliation import frame, suite
from infra.warehouse import query

log = logging.getLogger(__name__)


def check_reconciliation(night: Night) -> None:
    """Prove by the loads' own manifests, which dbt never saw, that staging lost no row.

    Raises:
        GateStopped: names each platform and contract that does not add up.
    """
    raw: Counter[tuple[str, str]] = Counter()
    for platform in night.platforms.values():
        for table in platform.tables:
            if table.contract != "none":
                raw[platform.name, table.contract] += sum(load.rows for load in night.loads(platform.name, table.name))
    counted = query(night.settings, "from intermediate.int_quality__contract_counts order by all").to_pylist()
    staged = {(row["platform"], row["contract"]): row for row in counted}
    none = {"staged_rows": 0, "duplicate_rows": 0, "quarantined_rows": 0}
    counts = RowCounts(
        counts=tuple(
            RowCount(**{**none, **staged.get(place, {}), "platform": place[0], "contract": place[1], "raw_rows": rows})
            for place, rows in sorted(raw.items())
        )
    )
    night.write(counts)
    rows_of = pa.Table.from_pylist([count.model_dump() for count in counts.counts])
    result = run_gate("reconciliation", suite(), frame(rows_of), as_of=night.as_of)
    night.write(result, result.key)
    log.info(f"gate reconciliation: {result.verdict}")
    result.raise_if_stopped()
