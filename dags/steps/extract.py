"""Step 1: what is new in one platform's warehouse comes to the lake."""

from tenacity import Retrying, retry_if_exception, stop_after_attempt, wait_exponential

from dags.steps.night import Night
from infra.platforms import Manifest, Platform, PlatformError, SourceTable, extract_table

ATTEMPTS = 3


def extract(night: Night, platform: str) -> None:
    """Load every declared table of one platform.

    A platform that cannot be reached ships its last good load; gate `sources` decides for how long. A fault that
    waiting does not cure (a missing column, wrong credentials, a corrupt file) fails at once, as does a platform
    that was never loaded.

    Raises:
        PlatformError: names platform, table, what was received and the remedy.
    """
    declared = night.platforms[platform]
    loads: list[dict[str, object]] = []
    for table in declared.tables:
        try:
            manifest = _patiently(night, declared, table)
        except PlatformError as error:
            if not error.retryable or _last_load(night, platform, table.name) is None:
                raise
            night.say(f"warning: {error} Its last good load stands in.")
            loads.append({"table": table.name, "rows": 0, "stale": True, "error": str(error)})
        else:
            loads.append({"table": table.name, "rows": manifest.rows, "stale": False})
            night.say(f"{platform}.{table.name}: {manifest.rows:,} rows")
    night.record(f"extract-{platform}", loads)


def _patiently(night: Night, platform: Platform, table: SourceTable) -> Manifest:
    for attempt in Retrying(
        stop=stop_after_attempt(ATTEMPTS),
        wait=wait_exponential(multiplier=2, max=30),
        retry=retry_if_exception(lambda error: isinstance(error, PlatformError) and error.retryable),
        reraise=True,
    ):
        with attempt:
            manifest = extract_table(platform, table, night.as_of, night.lake, night.settings)
    return manifest


def _last_load(night: Night, platform: str, table: str) -> Manifest | None:
    earlier = [load for load in night.loads(platform, table) if load.as_of < night.as_of]
    return earlier[-1] if earlier else None
