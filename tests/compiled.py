"""A dbt model's SQL as dbt compiles it, for tests whose warehouse is made by hand: dbt itself needs seconds to begin."""

from collections.abc import Callable
from functools import cache
from typing import Any

import duckdb
import jinja2
import yaml

from infra.warehouse import DBT_PROJECT


def create_views(
    warehouse: duckdb.DuckDBPyConnection, *models: str, variables: dict[str, object] | None = None, **context: object
) -> None:
    """Create each model as a view of the warehouse, in the given order; what they read must be there.

    ``variables`` replace those of dbt_project.yml. ``context`` replaces macros and what else models may call.
    """
    for model in models:
        warehouse.execute(f"create or replace view {_relation(model)} as {compiled(model, variables, **context)}")


def compiled(model: str, variables: dict[str, object] | None = None, **context: object) -> str:
    """The SQL of a model, not as an incremental run builds it."""
    project = yaml.safe_load((DBT_PROJECT / "dbt_project.yml").read_text())
    known = {**project.get("vars", {}), **(variables or {})}
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(DBT_PROJECT),
        extensions=["jinja2.ext.do"],
        undefined=jinja2.StrictUndefined,
        autoescape=False,  # SQL, not HTML
    )
    environment.globals |= {
        "config": lambda **_: "",
        "ref": _relation,
        "source": lambda source, table: f"{source}.{table}",
        "var": lambda name, default=None: known.get(name, default),
        "env_var": lambda name, default=None: default,
        "is_incremental": lambda: False,
        "graph": {},
        "return": lambda value: value,
    }
    macros: dict[str, Callable[..., Any]] = {}
    for file in sorted((DBT_PROJECT / "macros").glob("*.sql")):
        if "{% test" not in file.read_text():
            macros |= {
                name: macro
                for name, macro in vars(environment.get_template(f"macros/{file.name}").module).items()
                if callable(macro)
            }
    environment.globals |= {**macros, **context}
    return environment.get_template(_files()[model].relative_to(DBT_PROJECT).as_posix()).render()


def _relation(name: str) -> str:
    """The table of a model or seed, schema first."""
    if name not in _files():
        return f"seeds.{name}"
    return f"{_files()[name].relative_to(DBT_PROJECT / 'models').parts[0]}.{name}"


@cache
def _files() -> dict[str, Any]:
    return {file.stem: file for file in (DBT_PROJECT / "models").rglob("*.sql")}
