"""The shape of the night: its order, and the policies every task keeps. A failure's message is its remedy."""

import ast
import json
import subprocess
import sys
from typing import Any

import pytest

from infra.settings import PROJECT_ROOT

HEAVY = ("dbt", "duckdb", "great_expectations", "mlflow", "pandas", "pyarrow", "tensorflow")

# (what must be done, before what): each pair is a promise to somebody
ORDER = [
    ("open_night", "extract"),
    ("extract", "check_loads"),
    ("check_loads", "stage"),
    ("stage", "check_contents"),
    ("check_contents", "prepare"),
    ("prepare", "check_reconciliation"),
    ("check_reconciliation", "link_products"),
    ("link_products", "link_people"),
    ("link_people", "check_identity"),
    ("check_identity", "build_marts"),
    ("build_marts", "check_interactions"),
    ("check_interactions", "train_towers"),
    ("train_towers", "build_candidates"),
    ("build_candidates", "judge_sources"),
    ("judge_sources", "exclude_sources"),
    ("exclude_sources", "check_training_data"),
    ("check_training_data", "train"),
    ("exclude_sources", "check_leakage"),
    ("check_leakage", "train"),
    ("train", "evaluate"),
    ("evaluate", "check_promotion"),
    ("check_promotion", "choose_serving_model"),
    ("choose_serving_model", "score"),
    ("score", "check_features"),
    ("check_features", "assemble_lists"),
    ("assemble_lists", "check_recommendations"),
    ("check_recommendations", "check_lists"),
    ("check_lists", "publish"),
    ("publish", "write_back"),
    ("write_back", "report"),
]
GATES = [
    *("check_loads", "check_contents", "check_reconciliation", "check_identity"),
    *("check_interactions", "judge_sources", "check_training_data", "check_leakage", "check_promotion"),
    *("check_features", "check_recommendations", "check_lists"),
]
BOXES = {
    "merge": "open_night",
    "learn": "build_marts",
    "serve": "score",
}  # each box of the README, and a task in it


def upstream(dag: Any, task_id: str) -> set[str]:
    """Everything that must have succeeded before the task starts."""
    return set(dag.get_task(task_id).get_flat_relative_ids(upstream=True))


def test_the_dags_import(dag_bag: Any) -> None:
    assert dag_bag.import_errors == {}
    assert "nightly" in dag_bag.dags


def test_parsing_imports_nothing_heavy() -> None:
    """In a process of its own: the scheduler parses every few seconds, each time anew."""
    probe = (
        "import json, sys, airflow.sdk; before = set(sys.modules);"
        "import dags.linkage_training, dags.loads, dags.nightly, dags.tuning;"
        f"print(json.dumps([name for name in {HEAVY!r} if name in sys.modules and name not in before]))"
    )
    done = subprocess.run([sys.executable, "-c", probe], cwd=PROJECT_ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    heavy = json.loads(done.stdout.splitlines()[-1])
    assert not heavy, f"a DAG file imports {', '.join(heavy)} when Airflow parses it: import them inside the task"


@pytest.mark.parametrize(("first", "then"), ORDER)
def test_the_load_bearing_order(first: str, then: str, nightly: Any) -> None:
    assert first in upstream(nightly, then), (
        f"'{then}' may start before '{first}' is done: put `{first} >> ... >> {then}` back into dags/nightly.py"
    )


@pytest.mark.parametrize("gate", GATES)
def test_no_list_reaches_anyone_around_a_gate(gate: str, nightly: Any) -> None:
    for task in ("publish", "write_back"):
        assert gate in upstream(nightly, task), f"'{task}' can run without '{gate}': wire it downstream of the gate"


def test_one_red_task_stops_all_that_needs_it(nightly: Any) -> None:
    lax = [task.task_id for task in nightly.tasks if task.trigger_rule != "all_success"]
    assert not lax, f"{lax} run although something before them failed: a gate would stop nothing. Remove trigger_rule"


def test_every_task_is_in_the_order_above(nightly: Any) -> None:
    known = {task for pair in ORDER for task in pair} | {"shards"}
    unknown = set(nightly.task_ids) - known
    assert not unknown, f"say in ORDER of this test what {sorted(unknown)} must wait for, and who waits for them"


def test_mapped_tasks_have_a_name_for_each_of_their_instances(nightly: Any) -> None:
    mapped = [task for task in nightly.tasks if task.is_mapped]
    assert {task.task_id for task in mapped} == {"extract", "check_loads", "check_contents", "score", "write_back"}
    for task in mapped:
        template = task.partial_kwargs.get("map_index_template")
        assert template, f"{task.task_id} shows as [0], [1], ...: give it a map_index_template"


def test_every_step_is_a_function_that_takes_what_its_task_gives(nightly: Any) -> None:
    """A step is named by a path that Airflow resolves in the task only: a wrong one would be red in the middle of the night."""
    found = set()
    for task in nightly.tasks:
        doc = task.partial_kwargs.get("doc") if task.is_mapped else task.doc
        if not doc:
            continue
        module, _, name = doc.rpartition(".")
        tree = ast.parse(PROJECT_ROOT.joinpath(*module.split(".")).with_suffix(".py").read_text())
        function = next((n for n in tree.body if isinstance(n, ast.FunctionDef) and n.name == name), None)
        assert function, f"task '{task.task_id}' calls {doc}, which is not there: name the module and the function"
        parameters = [argument.arg for argument in (*function.args.args, *function.args.kwonlyargs)]
        given = ["night", *(task.op_kwargs_expand_input.value if task.is_mapped else [])]
        assert [name for name in parameters if name != "last_try"] == given, (
            f"task '{task.task_id}' gives {doc} {given}, which takes {parameters}"
        )
        found.add(task.task_id)
    assert found == set(nightly.task_ids) - {"shards"}


@pytest.mark.parametrize(("box", "task_id"), BOXES.items())
def test_the_graph_shows_the_three_boxes_of_the_readme(box: str, task_id: str, nightly: Any) -> None:
    assert nightly.get_task(task_id).task_group.group_id == box
    ungrouped = [task.task_id for task in nightly.tasks if task.task_group.group_id not in BOXES]
    assert not ungrouped, f"{ungrouped} are in no box: put them into merge, learn or serve"


def test_one_night_at_a_time_and_none_that_nobody_asked_for(nightly: Any) -> None:
    assert nightly.max_active_runs == 1, "two nights would write to one warehouse: keep max_active_runs=1"
    assert nightly.catchup is False, "unpausing would run every night since the start: keep catchup=False"


def test_any_demo_date_is_a_night(nightly: Any) -> None:
    assert nightly.start_date.year <= 1990, (
        "Airflow runs no task for a logical date before start_date, and calls the run green: keep it before all data"
    )


def test_the_page_of_every_dag_says_what_to_do_when_it_is_red(dag_bag: Any) -> None:
    for dag_id, dag in dag_bag.dags.items():
        assert dag.doc_md, f"DAG '{dag_id}' has no page: give the file a docstring, and doc_md=__doc__"
        assert "When it is red" in dag.doc_md
        missing = [name for name in dag.params if f"| {name} |" not in dag.doc_md]
        assert not missing, f"DAG '{dag_id}': its page does not explain the params {missing}"


@pytest.mark.parametrize("task_id", ["extract", "write_back"])
def test_what_talks_to_platforms_tries_again(task_id: str, nightly: Any) -> None:
    assert nightly.get_task(task_id).partial_kwargs["retries"] >= 1, f"{task_id} meets networks: give it retries"


@pytest.mark.parametrize(("retryable", "expected"), [(True, "PlatformError"), (False, "AirflowFailException")])
def test_a_fault_that_waiting_does_not_cure_fails_at_once(retryable: bool, expected: str, dag_bag: Any) -> None:
    from dags.tasks import readable_log
    from infra.platforms import PlatformError

    fault = PlatformError("shop", "orders", "it is so", received="this", remedy="do that", retryable=retryable)
    with pytest.raises(Exception, match="platform 'shop', table 'orders': it is so") as error, readable_log():
        raise fault
    assert type(error.value).__name__ == expected
