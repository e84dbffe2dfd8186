"""Real dbt on a real DuckDB file: an empty warehouse for the unit tests, and a small lake for whole nights."""

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

import duckdb
import pyarrow as pa
import pytest

from infra.platforms import Platform, load_platforms
from infra.settings import Settings
from infra.warehouse import DBT_PROJECT, connect, dbt_vars, run_dbt

# columns that arrive in their source's own type; those of text sources (SQLite, JSON lines) arrive as text
TYPES = {
    "stream": {
        "viewer_id": "bigint",
        "title_id": "bigint",
        "runtime_seconds": "integer",
        "available": "boolean",
        "added_at": "timestamp",
        "created_at": "timestamp",
        "updated_at": "timestamp",
        "started_at": "timestamp",
        "ingested_at": "timestamp",
        "seconds_watched": "integer",
        "completion": "double",
    }
}
LOAD = {"_unreadable": "varchar", "_row": "bigint", "_known_at": "timestamp"}
IDENTITY = {
    "account_persons": ("platform", "account_id", "person_id"),
    "item_products": ("platform", "item_id", "product_id"),
}
NIGHTS = [date(2000, 12, 8) + timedelta(days) for days in range(8)]


@pytest.fixture(scope="session")
def platforms() -> list[Platform]:
    return load_platforms(DBT_PROJECT / "models" / "staging")


def write_load(
    settings: Settings, platform: Platform, table: str, load_date: date, rows: Sequence[dict[str, object]]
) -> None:
    """One load of a table in the lake, as extract writes it; rows without a column have null there."""
    declared = platform.table(table)
    types = {
        column.lands_as: TYPES.get(platform.name, {}).get(column.lands_as, "varchar") for column in declared.landed
    }
    types |= LOAD
    values = {name: pa.array([row.get(name) for row in rows]) for name in types}
    values["_row"] = pa.array(range(1, len(rows) + 1), pa.int64())
    folder = Path(settings.lake_uri) / f"raw/platform={platform.name}/table={table}/load_date={load_date}"
    folder.mkdir(parents=True)
    columns = ", ".join(f'cast("{name}" as {kind}) as "{name}"' for name, kind in types.items())
    _write(pa.table(values), columns, folder / "part-00000.parquet")


def write_identity(settings: Settings, as_of: date, name: str, rows: Sequence[Sequence[str]]) -> None:
    """What linkage would have found out that night."""
    columns = IDENTITY[name]
    values = {column: pa.array([row[number] for row in rows], pa.string()) for number, column in enumerate(columns)}
    folder = Path(settings.lake_uri) / f"identity/as_of={as_of}"
    folder.mkdir(parents=True, exist_ok=True)
    _write(pa.table(values), ", ".join(columns), folder / f"{name}.parquet")


def _write(table: pa.Table, columns: str, path: Path) -> None:
    with closing(duckdb.connect()) as connection:
        connection.register("given", table)
        connection.execute(f"copy (select {columns} from given) to '{path}' (format parquet)")


# --- an empty warehouse: unit tests ask it for the columns of what they are given


@dataclass(frozen=True)
class EmptyWarehouse:
    settings: Settings
    variables: dict[str, object]


@pytest.fixture(scope="session")
def empty_warehouse(platforms: list[Platform], tmp_path_factory: pytest.TempPathFactory) -> EmptyWarehouse:
    """Every seed, source and model, without a row."""
    as_of = date(2000, 12, 15)
    settings = Settings(home=tmp_path_factory.mktemp("empty"))
    variables = dbt_vars(settings, as_of, [platform.name for platform in platforms])
    for platform in platforms:
        for table in platform.tables:
            write_load(settings, platform, table.name, as_of, [])
    for name in IDENTITY:
        write_identity(settings, as_of, name, [])
    run_dbt(settings, ["seed"], variables)
    run_dbt(settings, ["run", "--empty"], variables)
    raw, identity = f"{settings.lake_uri}/raw", f"{settings.lake_uri}/identity/as_of={as_of}"
    with connect(settings, read_only=False) as warehouse:
        for platform in platforms:
            warehouse.execute(f"create schema {platform.name}")
            for table in platform.tables:
                warehouse.execute(
                    f"create table {platform.name}.{table.name} as"
                    f" from read_parquet('{raw}/platform={platform.name}/table={table.name}/*/*.parquet') limit 0"
                )
        warehouse.execute("create schema identity")
        for name in IDENTITY:
            warehouse.execute(f"create table identity.{name} as from read_parquet('{identity}/{name}.parquet') limit 0")
    return EmptyWarehouse(settings, variables)
