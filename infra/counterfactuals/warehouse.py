"""A copy of the warehouse in which some events have not happened."""

import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import NamedTuple

import duckdb

from infra.platforms.relation import literal
from infra.settings import Settings
from infra.warehouse import connect, lock

SCHEMAS = ("seeds", "intermediate", "marts")
# accounts, items and their identity have no past, so every copy has tonight's
TIMES = ("as_of", "occurred_at")


class Rows(NamedTuple):
    """Rows of a table: ``select`` and ``where`` are SQL over its columns, with ``parameters``."""

    where: str
    parameters: Mapping[str, object]
    select: str = "*"


@contextmanager
def copied(settings: Settings, events: Rows, pairs: Rows) -> Iterator[Settings]:
    """Settings of a warehouse that has all that the marts by snapshot are made of, and none of these marts.

    It has the ``events`` of `int_events`, and the ``pairs`` of `candidate_pairs`: who gets candidates where. A build asks for these,
    because in a labelled snapshot only the labels say it. The copy is gone at the end of the block.
    """
    folder = settings.home.resolve() / "work" / "counterfactual"
    shutil.rmtree(folder, ignore_errors=True)  # that of a build that was killed
    folder.mkdir(parents=True)
    # a home of its own: dbt parses all models again where the warehouse is another than the last time
    own = {
        "home": settings.home / "dbt" / "counterfactual",
        "lake": settings.lake_uri,
        "warehouse": folder / "warehouse.duckdb",
    }
    copy = Settings(**settings.model_dump() | own)
    try:
        with lock(settings, "reads", shared=True), connect(copy, read_only=False) as warehouse:
            warehouse.execute(f"attach {literal(str(settings.warehouse_path))} as present (read_only)")
            for schema in SCHEMAS:
                warehouse.execute(f"create schema {schema}")
            for table in _tables_without_time(warehouse):
                _copy(warehouse, table, Rows("true", {}))
            _copy(warehouse, "intermediate.int_events", events)
            _copy(warehouse, "marts.candidate_pairs", pairs)
            _copy(warehouse, "marts.snapshots", Rows("as_of in (select as_of from marts.candidate_pairs)", {}))
        yield copy
    finally:
        shutil.rmtree(folder)


def _tables_without_time(warehouse: duckdb.DuckDBPyConnection) -> list[str]:
    """All tables of dbt's that have no column of `TIMES`, with their schemas."""
    of_present = "database_name = 'present' and list_contains($schemas, schema_name)"
    tables, timed = (
        {f"{schema}.{table}" for schema, table in warehouse.execute(sql, parameters).fetchall()}
        for sql, parameters in (
            (f"select schema_name, table_name from duckdb_tables() where {of_present}", {"schemas": [*SCHEMAS]}),
            (
                "select schema_name, table_name from duckdb_columns()"
                f" where {of_present} and list_contains($times, column_name)",
                {"schemas": [*SCHEMAS], "times": [*TIMES]},
            ),
        )
    )
    return sorted(tables - timed)


def _copy(warehouse: duckdb.DuckDBPyConnection, table: str, rows: Rows) -> None:
    warehouse.execute(
        f"create table {table} as select {rows.select} from present.{table} where {rows.where}", dict(rows.parameters)
    )
