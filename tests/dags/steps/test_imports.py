"""A task imports what it needs, and nothing heavier: under the scheduler each task is a process of its own."""

import json
import subprocess
import sys

from infra.settings import PROJECT_ROOT

HEAVY = ("airflow", "dbt", "great_expectations", "implicit", "keras", "matplotlib", "mlflow", "splink", "tensorflow")
# these steps train, load or search models, so they may import what models are made of
OF_MODELS = {
    *("dags.steps.learn.train", "dags.steps.learn.tune", "dags.steps.learn.evaluate"),
    "dags.steps.serve.score",
}


def steps() -> list[str]:
    files = sorted((PROJECT_ROOT / "dags" / "steps").rglob("*.py"))
    names = [file.relative_to(PROJECT_ROOT).with_suffix("").as_posix().replace("/", ".") for file in files]
    return [name.removesuffix(".__init__") for name in names]


def test_only_steps_that_work_with_models_import_anything_heavy() -> None:
    """In a fresh process, module after module, so that the first one that imports something is named."""
    light = [name for name in steps() if name not in OF_MODELS]
    assert {*OF_MODELS} < {*steps()}, "OF_MODELS names a step that is not there: take its name out"
    assert len(light) > 20
    probe = (
        "import importlib, json, sys\nseen, found = set(), {}\n"
        f"for name in {light!r}:\n"
        "    importlib.import_module(name)\n"
        f"    new = {{heavy for heavy in {HEAVY!r} if heavy in sys.modules}} - seen\n"
        "    seen |= new\n"
        "    found |= {name: sorted(new)} if new else {}\n"
        "print(json.dumps(found))"
    )
    done = subprocess.run([sys.executable, "-c", probe], cwd=PROJECT_ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert found == {}, f"import these inside the functions that need them: {found}"
