"""Which records have events: what happens to them changes lists."""

import pyarrow as pa

from dags.steps.merge.kinds import Kind
from dags.steps.night import Night
from infra.warehouse import connect


def with_events(night: Night, kind: Kind, records: pa.Table) -> pa.Table:
    """Those of the ``records`` (platform, id) that any event names."""
    with connect(night.settings) as warehouse:
        warehouse.register("records", records)
        found: pa.Table = warehouse.execute(
            "from records semi join intermediate.int_identity__eventful_records as eventful"
            " on eventful.record = $record and records.platform = eventful.platform and records.id = eventful.id",
            {"record": kind.record},
        ).to_arrow_table()
        return found
