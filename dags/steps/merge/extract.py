"""Step 1: what is new in one platform's warehouse comes to the lake."""

import logging

from dags.steps.merge.hold import has_good_loads, hold
from dags.steps.night import Night
from dags.steps.records import Extracted, LoadedTable
from infra.platforms import PlatformError, extract_table
from infra.platforms.held import settle

log = logging.getLogger(__name__)


def extract(night: Night, platform: str, *, last_try: bool = True) -> None:
    """Load every declared table of one platform, after the loads that people accepted are back.

    A platform that cannot be reached fails, and Airflow tries it again. At the last try, and at once where waiting cures
    nothing (a missing column, wrong credentials, a corrupt file), the platform goes on with its last good data. What came of
    its other tables tonight is held, so that no table is newer than another.

    Raises:
        PlatformError: names platform, table, what was received and the remedy. The platform was never loaded before, or
            the fault lies with us (a full disk), or there is another try.
    """
    settle(night.lake, platform)
    declared = night.platforms[platform]
    rows: dict[str, int] = {}
    try:
        for table in declared.tables:
            rows[table.name] = extract_table(declared, table, night.as_of, night.lake, night.settings).rows
            log.info(f"{platform}.{table.name}: {rows[table.name]:,} rows")
    except PlatformError as error:
        if error.harms_everybody or (error.retryable and not last_try):
            raise
        hold(night, platform, [str(error)])
        if not has_good_loads(night, platform):
            raise
        log.warning(f"{error} The platform goes on with its last good data.")
        failed = next(table.name for table in declared.tables if table.name not in rows)
        loads = [
            LoadedTable(table=table.name, rows=0, stale=True, error=str(error) if table.name == failed else None)
            for table in declared.tables
        ]
    else:
        loads = [LoadedTable(table=table, rows=count, stale=False) for table, count in rows.items()]
    night.write(Extracted(loads=tuple(loads)), platform)
