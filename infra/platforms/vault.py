"""What linkage compares in clear: the vault zone, read by the linkage step and by nobody else."""

import io
from collections.abc import Iterable, Mapping
from datetime import date

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from infra.lake import Lake
from infra.platforms.declaration import VAULT_KINDS, Platform, SourceTable
from infra.state import StateError

COLUMNS = pa.schema([(name, pa.string()) for name in ("platform", "id", *VAULT_KINDS)])


class VaultError(StateError):
    """The vault could not be read; the message says why, and quotes nothing of it."""


def vault_records(lake: Lake, platforms: Iterable[Platform], as_of: date) -> pa.Table:
    """What each account last said of itself, as known at ``as_of``: ``platform``, ``id``, and VAULT_KINDS as written.

    A column that a platform does not have, or that a load is older than, is null. A moment is as a clock of the platform's
    zone showed it: who was born on 1 May in Sydney was not born on 30 April, as midnight there is in UTC.

    Raises:
        VaultError: A file of the zone is damaged or may not be read.
    """
    tables = [
        _newest(platform, table, _loads(lake, platform, table, as_of))
        for platform in platforms
        for table in platform.tables
        if table.contract == "accounts" and any(column.kind for column in table.vaulted)
    ]
    return pa.concat_tables([COLUMNS.empty_table(), *tables])


def _loads(lake: Lake, platform: Platform, table: SourceTable, as_of: date) -> list[pa.Table]:
    folder = f"vault/platform={platform.name}/table={table.name}/"
    loads = []
    try:
        for key in lake.list(folder):
            if key.endswith(".parquet") and key.split("load_date=")[1][:10] <= as_of.isoformat():
                loads.append(pq.read_table(io.BytesIO(lake.read(key)[0])))
    except (OSError, pa.ArrowException) as error:
        raise VaultError(
            f"vault of platform '{platform.name}', table '{table.name}' cannot be read. Received: "
            f"{type(error).__name__}. Remedy: see who may read {folder} in the lake, and extract the platform again."
        ) from None
    return loads


def _newest(platform: Platform, table: SourceTable, loads: list[pa.Table]) -> pa.Table:
    if not loads:
        return COLUMNS.empty_table()
    named = {column.kind: column.name for column in table.vaulted if column.kind}
    kinds = {"id": table.key[0]} | {kind: named.get(kind, "") for kind in VAULT_KINDS}  # the first key column is the id
    with duckdb.connect() as connection:
        selected = [_birth_date(platform) if kind == "birth_date" else kind for kind in VAULT_KINDS]
        connection.register("loads", pa.concat_tables([_as_text(load, kinds, platform.timezone) for load in loads]))
        return connection.execute(
            f"select $platform as platform, id, {', '.join(selected)} from loads where id is not null"
            " qualify row_number() over (partition by id order by _known_at desc, _row desc) = 1 order by id",
            {"platform": platform.name},
        ).to_arrow_table()


def _birth_date(platform: Platform) -> str:
    """SQL of the birth date; linkage reads a date with the year at the end as day first, so month first is turned."""
    if platform.date_order != "mdy":
        return "birth_date"
    month_first = r"^\s*([0-9]{1,2})[./-]([0-9]{1,2})[./-]([0-9]{4})"
    return f"regexp_replace(birth_date, '{month_first}', '\\3-\\1-\\2') as birth_date"


def _as_text(load: pa.Table, columns: Mapping[str, str], zone: str) -> pa.Table:
    """A load under our names, whatever types its night had; what it lacks is null."""
    texts = {
        ours: _text(load[theirs], zone) if theirs in load.column_names else pa.nulls(load.num_rows, pa.string())
        for ours, theirs in columns.items()
    }
    return pa.table({**texts, "_known_at": load["_known_at"], "_row": load["_row"]})


def _text(column: pa.ChunkedArray, zone: str) -> pa.ChunkedArray:
    """The column as text, moments as date and time in ``zone``."""
    if pa.types.is_timestamp(column.type) and column.type.tz:
        with duckdb.connect() as connection:  # it brings its own zones, where Arrow asks the system for them
            connection.register("moments", pa.table({"moment": column}))
            local = connection.execute("select timezone($zone, moment) from moments", {"zone": zone})
            column = local.to_arrow_table()[0]
    return column.cast(pa.string())
