"""What linkage compares in clear: the vault zone, read by the linkage step and by nobody else."""

import io
from collections.abc import Iterable
from datetime import date

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from infra.lake import Lake
from infra.platforms.declaration import VAULT_KINDS, Platform, SourceTable

COLUMNS = pa.schema([(name, pa.string()) for name in ("platform", "id", *VAULT_KINDS)])


class VaultError(RuntimeError):
    """The vault could not be read; the message says why, and quotes nothing of it."""


def vault_records(lake: Lake, platforms: Iterable[Platform], as_of: date) -> pa.Table:
    """What each account last said of itself, as known at ``as_of``: ``platform``, ``id``, and VAULT_KINDS as written.

    A column that a platform does not have is null.

    Raises:
        VaultError: A file of the zone is damaged or may not be read.
    """
    tables = [
        _newest(platform.name, table, _loads(lake, platform, table, as_of))
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


def _newest(platform: str, table: SourceTable, loads: list[pa.Table]) -> pa.Table:
    if not loads:
        return COLUMNS.empty_table()
    kinds = {column.kind: column.name for column in table.vaulted if column.kind}
    selected = ", ".join(
        f'cast("{kinds[kind]}" as varchar) as {kind}' if kind in kinds else f"cast(null as varchar) as {kind}"
        for kind in VAULT_KINDS
    )
    key = f'cast("{table.key[0]}" as varchar)'  # the first key column is the account's id
    with duckdb.connect() as connection:
        connection.register("loads", pa.concat_tables(loads, promote_options="permissive"))
        return connection.execute(
            f"select $platform as platform, {key} as id, {selected} from loads where {key} is not null"
            f" qualify row_number() over (partition by {key} order by _known_at desc, _row desc) = 1 order by id",
            {"platform": platform},
        ).to_arrow_table()
