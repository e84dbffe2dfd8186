"""Every task of every DAG, and every command, that opens the warehouse holds its lock: read off the code that they reach."""

import ast
import inspect
import textwrap
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from infra.settings import PROJECT_ROOT

PACKAGES = ("dags", "expectations", "infra", "ml")
LOCKS = ("connect", "lock")  # of infra.warehouse; a block of one of them holds the lock
HARMLESS = ("exists", "parent", "name", "with_name")  # what may be asked of the path without opening the file
HOME = "infra.warehouse"  # the module that locks
OPENERS = {  # tasks that must be found to open the warehouse, or this test would see nothing
    "nightly": {
        *("stage", "check_contents", "prepare", "link_people"),
        *("build_marts", "train_towers", "train", "score", "report"),
    },
    "tuning": {"tune"},
    "linkage_training": {"train_people", "train_products"},
    "loads": set(),  # it writes a decision down, and nothing else
}


def path_of(module: str) -> Path | None:
    """The file of a module of ours, or None where there is none."""
    path = PROJECT_ROOT.joinpath(*module.split("."))
    for file in (path.with_suffix(".py"), path / "__init__.py"):
        if module.partition(".")[0] in PACKAGES and file.exists():
            return file
    return None


def imported(tree: ast.AST) -> set[str]:
    """The modules of ours that the code imports, at the top or inside a function."""
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return {name for name in names if path_of(name)}


@cache
def read(module: str) -> tuple[frozenset[str], tuple[str, ...]]:
    """The modules that a module of ours imports, and the places in it that use the warehouse's path without its lock."""
    file = path_of(module)
    assert file is not None, f"{module} is no module of ours"
    source = file.read_text()
    places = tuple(f"{file.relative_to(PROJECT_ROOT)}:{line}" for line in unlocked(source))
    return frozenset(imported(ast.parse(source))), places


@cache
def reached(module: str) -> frozenset[str]:
    """The module and all of ours that it reaches by imports."""
    found: set[str] = set()
    waiting = {module}
    while waiting:
        name = waiting.pop()
        found.add(name)
        waiting |= read(name)[0] - found
    return frozenset(found)


def name_of(call: ast.Call) -> str:
    return str(getattr(call.func, "id", getattr(call.func, "attr", "")))


def unlocked(source: str) -> list[int]:
    """The lines on which code uses a warehouse's path outside every block that holds that warehouse's lock."""
    lines = []

    def visit(node: ast.AST, *, held: frozenset[str], parent: ast.AST | None) -> None:
        if isinstance(node, ast.With):
            calls = [item.context_expr for item in node.items if isinstance(item.context_expr, ast.Call)]
            held |= {ast.unparse(call.args[0]) for call in calls if call.args and name_of(call) in LOCKS}
        to_connect = isinstance(parent, ast.Call) and name_of(parent) == "connect"
        if isinstance(node, ast.JoinedStr) and not to_connect and "attach" not in ast.unparse(node).lower():
            return  # a sentence that names the file opens nothing
        if isinstance(node, ast.Attribute) and node.attr == "warehouse_path":
            asked = isinstance(parent, ast.Attribute) and parent.attr in HARMLESS
            if not asked and ast.unparse(node.value) not in held:
                lines.append(node.lineno)
        for child in ast.iter_child_nodes(node):
            visit(child, held=held, parent=node)

    visit(ast.parse(source), held=frozenset(), parent=None)
    return lines


def modules_of(task: Any) -> set[str]:
    """The step modules of a task: the one its `doc` names, or those that its function imports."""
    doc = task.partial_kwargs.get("doc") if task.is_mapped else task.doc
    if doc:
        return {doc.rpartition(".")[0]}
    return imported(ast.parse(textwrap.dedent(inspect.getsource(inspect.unwrap(task.python_callable)))))


def without_lock(modules: set[str]) -> list[str]:
    """Places in what the modules reach that use the warehouse's path without its lock."""
    found = set().union(*(reached(module) for module in modules)) - {HOME, "infra.settings"}
    return [place for module in sorted(found) for place in read(module)[1]]


def test_every_task_that_opens_the_warehouse_holds_its_lock(dag_bag: Any) -> None:
    for dag_id, dag in dag_bag.dags.items():
        openers = set()
        for task in dag.tasks:
            modules = modules_of(task)
            assert modules, f"task '{task.task_id}' of DAG '{dag_id}': its step cannot be read off; make it with `step`"
            places = without_lock(modules)
            assert not places, (
                f"task '{task.task_id}' of DAG '{dag_id}' uses the warehouse's file without its lock in {', '.join(places)}: "
                "use connect, query or run_dbt of infra.warehouse, or a block of its `lock`"
            )
            if any(HOME in reached(module) for module in modules):
                openers.add(task.task_id)
        assert openers >= OPENERS[dag_id], f"DAG '{dag_id}': this test does not see what its tasks reach"
        pools = {task.task_id: task.pool for task in dag.tasks if task.pool != "default_pool"}
        assert not pools, f"DAG '{dag_id}': {pools}: a pool is a second lock that commands do not see; remove it"


def test_every_command_that_opens_the_warehouse_holds_its_lock() -> None:
    assert HOME in reached("dags.cli")
    places = without_lock({"dags.cli", "dags.cli.run"})
    assert not places, (
        f"{', '.join(places)}: use connect, query or run_dbt of infra.warehouse, or a block of its `lock`"
    )


@pytest.mark.parametrize(
    ("source", "lines"),
    [
        ("duckdb.connect(str(settings.warehouse_path))", [1]),
        ("with closing(duckdb.connect(settings.warehouse_path)) as c:\n    pass", [1]),
        ("with connect(settings) as c:\n    c.execute(f'attach {settings.warehouse_path}')", []),
        ("with connect(copy) as c:\n    c.execute(f'attach {settings.warehouse_path}')", [2]),
        (
            "with lock(settings, 'reads', shared=True), connect(copy):\n    c.execute(f'attach {settings.warehouse_path}')",
            [],
        ),
        ("with lock(settings, 'reads', shared=True), closing(c):\n    use(settings.warehouse_path)", []),
        ("with lock(settings, 'reads', shared=True):\n    pass\nuse(settings.warehouse_path)", [3]),
        ("settings.warehouse_path.exists()", []),
        ("log.info(f'the warehouse {settings.warehouse_path}')", []),
        ("warehouse.execute(f'attach {settings.warehouse_path} as present')", [1]),
        ("duckdb.connect(f'{settings.warehouse_path}')", [1]),
    ],
)
def test_this_test_sees_what_is_not_locked(source: str, lines: list[int]) -> None:
    assert unlocked(source) == lines
