"""A plugin of dbt-duckdb: every connection of a night knows its cut, as DuckDB's variable `as_of`.

The cut is none of dbt's own variables, because dbt parses the whole project again wherever one of those has changed.
"""

import os

from dbt.adapters.duckdb.plugins import BasePlugin
from duckdb import DuckDBPyConnection

AS_OF = "CROSSREC_DBT_AS_OF"


class Plugin(BasePlugin):
    """The name that dbt-duckdb looks for."""

    def configure_cursor(self, cursor: DuckDBPyConnection) -> None:
        if AS_OF in os.environ:  # models are also compiled for no night at all, as by a linter
            cursor.execute("set variable as_of = cast($1 as date)", [os.environ[AS_OF]])
