"""A dbt model's SQL as dbt compiles it, for tests whose warehouse is made by hand: dbt itself needs seconds to begin."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from types import SimpleNamespace

import duckdb
import jinja2
import jinja2.nodes

from infra.warehouse import DBT_PROJECT


def create_views(warehouse: duckdb.DuckDBPyConnection, *models: str, sources: dict[str, object] | None = None) -> None:
    """Create each model as a view of the warehouse, in the given order; what they read must be there."""
    for model in models:
        warehouse.execute(f"create or replace view {_relation(model)} as {compiled(model, sources)}")


def create_tables(warehouse: duckdb.DuckDBPyConnection, *models: str) -> None:
    """Create each model as a table of the warehouse. Settings have their defaults."""
    for model in models:
        warehouse.execute(f"create or replace table {_relation(model)} as {compiled(model)}")


def compiled(model: str, sources: dict[str, object] | None = None, *, incremental: bool = False) -> str:
    """The SQL of a model, where macros read these ``sources`` in dbt's graph.

    With ``incremental`` it is the SQL that adds to the model's table, otherwise that of a full refresh.
    """
    environment = _environment()
    environment.globals["graph"]["sources"] = sources or {}
    with _adding_to(_relation(model) if incremental else None):
        return environment.get_template(_files()[model].relative_to(DBT_PROJECT).as_posix()).render()


def compiled_text(
    text: str, *, adding_to: str | None = None, sources: dict[str, object] | None = None, platform: str = "shop"
) -> str:
    """SQL with calls of the project's macros, as in a staging model of ``platform``, where macros read these ``sources`` in dbt's graph.

    ``adding_to`` is the table that an incremental model would add to.
    """
    _environment().globals["graph"]["sources"] = sources or {}
    _environment().globals["model"].fqn = ["crossrec", "staging", platform]
    with _adding_to(adding_to):
        return _environment().from_string(text).render()


class _This:
    """What `this` is in macros, and whether there is any. Macros keep the objects that they were made with."""

    relation: str | None = None

    def __str__(self) -> str:
        return self.relation or ""


_this = _This()


@contextmanager
def _adding_to(relation: str | None) -> Iterator[None]:
    _this.relation = relation
    try:
        yield
    finally:
        _this.relation = None


@cache
def _environment() -> jinja2.Environment:
    """Jinja with dbt's functions and the project's macros, which look up what they call when they are called."""
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
        "env_var": lambda name, default=None: default,
        "is_incremental": lambda: _this.relation is not None,
        "this": _this,
        "return": lambda value: value,
        "graph": {},
        "model": SimpleNamespace(resource_type="model", fqn=["crossrec", "staging", "shop"]),
    }
    macros: dict[str, Callable[..., str]] = {}

    def calling(name: str) -> Callable[..., str]:
        return lambda *arguments, **options: macros[name](*arguments, **options)

    files = sorted((DBT_PROJECT / "macros").glob("*.sql"))
    for file in files:  # a macro may call one of a file that is read after its own
        found = environment.parse(file.read_text(encoding="utf-8")).find_all(jinja2.nodes.Macro)
        environment.globals |= {macro.name: calling(macro.name) for macro in found}
    for file in files:
        module = environment.get_template(f"macros/{file.name}").module
        macros |= {name: macro for name, macro in vars(module).items() if callable(macro)}
    return environment


def _relation(name: str) -> str:
    """The table of a model or seed, schema first."""
    if name not in _files():
        return f"seeds.{name}"
    return f"{_files()[name].relative_to(DBT_PROJECT / 'models').parts[0]}.{name}"


@cache
def _files() -> dict[str, Path]:
    return {file.stem: file for file in (DBT_PROJECT / "models").rglob("*") if file.suffix in (".sql", ".py")}
