"""Step 2: gate `loads`, one for each platform."""

from statistics import median

import duckdb

from dags.steps.merge.hold import hold_or_stop
from dags.steps.night import Night
from expectations.gate import run_gate
from expectations.loads import LoadProfile, frame, suite
from infra.duckdb_connection import duckdb_connection
from infra.platforms import Manifest, Platform, PlatformError, SourceTable, damaged_files
from infra.platforms.held import settle

FEWEST_LOADS = 4  # three nights and the first load, which carries all history


def check_loads(night: Night, platform: str) -> None:
    """Schema drift, volume against its history, freshness, keys and readability of one platform's loads.

    A load that must not pass is held. One that a person accepted is back before the gate looks.

    Raises:
        GateStopped: the platform has no earlier load; names each table that does not hold, what was found, and the remedy.
        PlatformError: a file of a load is damaged in the lake.
    """
    settle(night.lake, platform)
    declared = night.platforms[platform]
    profiles = [_profile(night, declared, table) for table in declared.tables]
    result = run_gate("loads", suite(platform), frame(profiles), as_of=night.as_of, platform=platform)
    hold_or_stop(night, platform, result)


def _profile(night: Night, platform: Platform, table: SourceTable) -> LoadProfile:
    loads = night.loads(platform.name, table.name)
    if not loads:
        return LoadProfile(table.name, 0, None, 0, age_days=None, max_staleness_days=platform.max_staleness_days)
    newest, before = loads[-1], loads[:-1]
    age = (night.as_of - newest.as_of).days
    if age:  # a gate, or a person, let the load pass on its own night
        rows = sum(load.rows for load in loads)
        return LoadProfile(table.name, 0, None, rows, age_days=age, max_staleness_days=platform.max_staleness_days)
    # a changed type is held every night until it is undone or declared, not only the first one that sees it
    types = {column.name: column.type for column in loads[0].columns}
    declared = {column.name: column.data_type for column in table.columns}
    null_keys, duplicate_keys, unreadable = _shares(night, newest, table)
    return LoadProfile(
        table=table.name,
        rows=newest.rows,
        previous_rows_median=median(load.rows for load in before[1:]) if len(loads) >= FEWEST_LOADS else None,
        rows_read_total=sum(load.rows for load in loads),
        missing_columns=[name for name in types if name not in {column.name for column in newest.columns}],
        changed_types=[
            f"{column.name}: {types[column.name]} -> {column.type}"
            for column in newest.columns
            if column.type not in (types.get(column.name, column.type), declared.get(column.name))
        ],
        undeclared_columns=newest.undeclared_columns,
        age_days=0,
        max_staleness_days=platform.max_staleness_days,
        null_key_share=null_keys,
        duplicate_key_share=duplicate_keys,
        unreadable_share=unreadable,
        undated_share=newest.counts.no_watermark / max(newest.rows, 1),
        uncounted_rows=newest.counts.uncounted,
        lost_record_share=_lost_records(newest),
        gone_share=_gone(newest),
    )


def _lost_records(load: Manifest) -> float:
    """Of the records that tonight's files had when they were read before, the share that they lost."""
    before = sum(file.records_before or 0 for file in load.source_files)
    return sum(max(0, (file.records_before or 0) - file.records) for file in load.source_files) / max(before, 1)


def _gone(load: Manifest) -> float:
    """Of the keys that the source had at the last load, the share that it lost since."""
    return load.counts.gone / max(load.counts.gone + load.counts.read, 1)


def _shares(night: Night, load: Manifest, table: SourceTable) -> tuple[float, float, float]:
    """Shares of the load's rows with a null key, with a repeated key, and unreadable."""
    if not load.rows:
        return 0.0, 0.0, 0.0
    try:
        return _measured(night, load, table)
    except duckdb.Error:
        damaged = damaged_files(night.lake, load)
        if not damaged:
            raise
    raise PlatformError(
        load.platform,
        load.table,
        "its load in the lake is damaged",
        received=f"other bytes than were written, or none, in {', '.join(damaged)}",
        remedy=f"run the night of {load.as_of} again: its extract writes the same files anew",
    )


def _measured(night: Night, load: Manifest, table: SourceTable) -> tuple[float, float, float]:
    """The three shares; only a reader of the files knows them, so the query names the declared key."""
    names = [column.lands_as for column in table.columns if column.name in table.key]
    key = ", ".join(f'"{name}"' for name in names)
    no_key = " or ".join(f'"{name}" is null' for name in names)
    counts = f"count(*), count(*) filter (where {no_key}), count(distinct ({key})) filter (where not ({no_key}))"
    files = [night.lake.uri(file.key) for file in load.files]
    with duckdb_connection(night.settings, night.lake) as connection:
        [(readable, null_keys, distinct)] = connection.execute(
            f"select {counts} from read_parquet($files) where _unreadable is null", {"files": files}
        ).fetchall()
    return null_keys / load.rows, max(0, readable - null_keys - distinct) / load.rows, 1 - readable / load.rows
