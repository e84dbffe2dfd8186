"""Step 1: what is new in one platform's warehouse comes to the lake."""

import logging

from dags.steps.night import Night
from dags.steps.records import Extracted, LoadedTable
from infra.platforms import Manifest, PlatformError, extract_table

log = logging.getLogger(__name__)


def extract(night: Night, platform: str, *, last_try: bool = True) -> None:
    """Load every declared table of one platform.

    A platform that cannot be reached fails, and Airflow tries it again. At the last try its last good load stands in, and
    gate `loads` decides for how long it may. A fault that waiting does not cure (a missing column, wrong credentials, a
    corrupt file) fails at every try. So does a platform that was never loaded.

    Raises:
        PlatformError: names platform, table, what was received and the remedy.
    """
    declared = night.platforms[platform]
    loads: list[LoadedTable] = []
    for table in declared.tables:
        try:
            manifest = extract_table(declared, table, night.as_of, night.lake, night.settings)
        except PlatformError as error:
            if not (last_try and error.retryable and _last_load(night, platform, table.name)):
                raise
            log.warning(f"{error} Its last good load stands in.")
            loads.append(LoadedTable(table=table.name, rows=0, stale=True, error=str(error)))
        else:
            loads.append(LoadedTable(table=table.name, rows=manifest.rows, stale=False))
            log.info(f"{platform}.{table.name}: {manifest.rows:,} rows")
    night.write(Extracted(loads=tuple(loads)), platform)


def _last_load(night: Night, platform: str, table: str) -> Manifest | None:
    earlier = [load for load in night.loads(platform, table) if load.as_of < night.as_of]
    return earlier[-1] if earlier else None
