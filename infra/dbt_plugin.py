"""A plugin of dbt-duckdb: every connection of a night knows its cut, as DuckDB's variable `as_of`; and what Python models share.

The cut is none of dbt's own variables, because dbt parses the whole project again wherever one of those has changed.
"""

import os
from collections.abc import Callable
from datetime import date
from typing import Any

import pyarrow as pa
from dbt.adapters.duckdb.plugins import BasePlugin
from duckdb import DuckDBPyConnection, DuckDBPyRelation

AS_OF = "CROSSREC_DBT_AS_OF"


class Plugin(BasePlugin):
    """The name that dbt-duckdb looks for."""

    def configure_cursor(self, cursor: DuckDBPyConnection) -> None:
        if AS_OF in os.environ:  # models are also compiled for no night at all, as by a linter
            cursor.execute("set variable as_of = cast($1 as date)", [os.environ[AS_OF]])


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
        vectors.filter(f"as_of = {as_of}").order("kind, id").to_arrow_table(),
    )


def by_as_of(dbt: Any, snapshots: DuckDBPyRelation, built: Callable[[str], pa.Table]) -> pa.Table:
    """All rows of an incremental Python model: of the cuts that it lacks, and of the night's own again.

    ``built`` gets a cut as SQL writes its date, and gives that cut's rows without ``as_of``, which is put before them.
    """
    to_build = "true"
    if dbt.is_incremental:
        to_build = f"as_of = cast(getvariable('as_of') as date) or as_of not in (select as_of from {dbt.this})"
    tables = []
    # of no cut at all, a table without rows
    for as_of, *_ in snapshots.filter(to_build).order("as_of").fetchall() or [(date.min,)]:
        rows = built(f"date '{as_of}'")
        # until all are built they wait in memory, and ids written out would be most of it
        columns = [column.dictionary_encode() if column.type == pa.string() else column for column in rows.columns]
        columns.insert(0, pa.repeat(pa.scalar(as_of), rows.num_rows))
        tables.append(pa.table(columns, ["as_of", *rows.column_names]))
    return pa.concat_tables(tables)
