"""The plugin of dbt-duckdb that opens the warehouse as the settings say, and what the Python models share.

The date of the night is a variable of DuckDB, because dbt parses the whole project again when one of its own variables changes.
"""

import os
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
from dbt.adapters.duckdb.credentials import DuckDBCredentials
from dbt.adapters.duckdb.plugins import BasePlugin
from dbt_common.exceptions import DbtRuntimeError
from duckdb import DuckDBPyConnection, DuckDBPyRelation

from infra.duckdb_connection import create_s3_secret, extension_directory
from infra.lake import S3Lake, open_lake
from infra.settings import Settings

AS_OF = "CROSSREC_DBT_AS_OF"


class Plugin(BasePlugin):
    """dbt-duckdb looks for this name. The settings come from the environment, where `run_dbt` puts those of its caller."""

    as_of: date | None = None

    def update_connection_config(self, creds: DuckDBCredentials, config: dict[str, Any]) -> None:
        settings = Settings()
        config |= {
            "extension_directory": str(extension_directory(settings)),
            "memory_limit": settings.duckdb_memory_limit,
            "threads": settings.threads,
        }
        if creds.path != ":memory:":
            Path(creds.path).parent.mkdir(parents=True, exist_ok=True)

    def configure_connection(self, conn: DuckDBPyConnection) -> None:
        settings = Settings()
        lake = open_lake(settings)
        if isinstance(lake, S3Lake):
            create_s3_secret(conn, lake, "lake")
        self.as_of = _as_of(conn)
        for name, value in settings.tensorflow_environment().items():  # the two towers are trained by a model
            os.environ.setdefault(name, value)

    def configure_cursor(self, cursor: DuckDBPyConnection) -> None:
        cursor.execute("set variable as_of = $as_of", {"as_of": self.as_of})


def _as_of(warehouse: DuckDBPyConnection) -> date | None:
    """The night that the environment names, or else the last one that the warehouse holds; None where there is neither.

    Raises:
        DbtRuntimeError: the environment names no date.
    """
    if given := os.environ.get(AS_OF):
        try:
            return date.fromisoformat(given)
        except ValueError:
            raise DbtRuntimeError(f"{AS_OF} is no date. Received: {given!r}. Remedy: write it as YYYY-MM-DD.") from None
    try:
        found = warehouse.execute("select as_of from marts.snapshots where role = 'scoring'").fetchone()
    except duckdb.CatalogException:  # no night has built the marts
        return None
    return found[0] if found else None


def evidence_at(
    as_of: str,
    wanted: DuckDBPyRelation,
    interactions: DuckDBPyRelation,
    similar: DuckDBPyRelation,
    vectors: DuckDBPyRelation,
) -> tuple[pa.Table, pa.Table, pa.Table]:
    """What retrieval computes scores from: positive interactions of the persons in ``wanted``, similar items, and vectors.

    ``as_of`` is a date as SQL writes it. Rows are sorted, because the last digits of a sum depend on their order.
    """
    persons = wanted.project("person_id").distinct()
    known = (
        interactions.filter(f"as_of = {as_of}").project("person_id, product_id, age_days").join(persons, "person_id")
    )
    return (
        known.order("person_id, product_id").to_arrow_table(),
        similar.filter(f"as_of = {as_of}").order("generator, product_id, position").to_arrow_table(),
        vectors.filter(f"as_of = {as_of} and kind in ('person', 'product')").order("kind, id").to_arrow_table(),
    )


def by_as_of(dbt: Any, snapshots: DuckDBPyRelation, built: Callable[[str], pa.Table]) -> pa.Table:
    """All rows that an incremental Python model adds: those of the snapshots that it lacks, and of the night's own again.

    ``built`` gets the as_of of a snapshot as SQL writes a date. It returns the rows of that snapshot without the column
    ``as_of``, which becomes the first column here.
    """
    to_build = "true"
    if dbt.is_incremental:
        to_build = f"as_of = cast(getvariable('as_of') as date) or as_of not in (select as_of from {dbt.this})"
    tables = []
    # where there is no snapshot to build, a table without rows still has the columns
    for as_of, *_ in snapshots.filter(to_build).order("as_of").fetchall() or [(date.min,)]:
        rows = built(f"date '{as_of}'")
        # all tables wait in memory until the last one is built, and ids written out would be most of it
        columns = [column.dictionary_encode() if column.type == pa.string() else column for column in rows.columns]
        columns.insert(0, pa.repeat(pa.scalar(as_of), rows.num_rows))
        tables.append(pa.table(columns, ["as_of", *rows.column_names]))
    return pa.concat_tables(tables)
