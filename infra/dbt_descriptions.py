"""A linter of the dbt project: every model has a YAML file of its own that describes it. `python -m infra.dbt_descriptions`."""

import re
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from infra.settings import PROJECT_ROOT

GRAIN = re.compile(r"\bone row per [^.]+\.?$", re.IGNORECASE)


def problems(project: Path) -> list[str]:
    """What is wrong with the descriptions of models and seeds of the dbt project in folder ``project``; one sentence each."""
    models = sorted(path for kind in ("sql", "py") for path in (project / "models").rglob(f"*.{kind}"))
    found = [*_of_names(models)]
    for model in models:
        file = model.with_suffix(".yml")
        if file.exists():
            found += _of_file(file, "models", {model.stem})
        else:
            found.append(f"model {model.stem} has no YAML file. Remedy: add {model.stem}.yml beside it.")
    for file in sorted((project / "models").rglob("*.yml")):
        if "models" in _read(file) and not any(file.with_suffix(kind).exists() for kind in (".sql", ".py")):
            found.append(
                f"{file.name} describes models, but no model of its name is beside it. Remedy: move its entries."
            )
    seeds = {path.stem for path in (project / "seeds").glob("*.csv")}
    return [*found, *_of_file(project / "seeds" / "_seeds.yml", "seeds", seeds)]


def _of_names(models: list[Path]) -> Iterator[str]:
    for name, count in Counter(path.stem for path in models).items():
        if count > 1:
            yield f"{count} models have the name {name}. Remedy: rename all but one."


def _of_file(file: Path, kind: str, expected: set[str]) -> Iterator[str]:
    """Problems of the entries of one YAML file, which has to describe exactly the ``expected`` names."""
    entries = {entry["name"]: entry for entry in _read(file).get(kind, [])}
    for name in sorted(expected - set(entries)):
        yield f"{file.name} does not describe {name}. Remedy: add it under `{kind}:`."
    for name in sorted(set(entries) - expected):
        yield f"{file.name} describes {name}, which is not there. Remedy: remove or rename the entry."
    for name in sorted(expected & set(entries)):
        yield from _of_entry(file, entries[name])


def _of_entry(file: Path, entry: dict[str, Any]) -> Iterator[str]:
    name, columns = entry["name"], entry.get("columns") or []
    description = " ".join(str(entry.get("description") or "").split())
    if not description:
        yield f"{file.name}: {name} has no description. Remedy: say what it holds."
    elif not GRAIN.search(description):
        yield f'{file.name}: the description of {name} does not end with its grain. Remedy: end it with "One row per ...".'
    if not columns:
        yield f"{file.name}: {name} has no columns. Remedy: describe each."
    for column, count in Counter(column["name"] for column in columns).items():
        if count > 1:
            yield f"{file.name}: {name} describes column {column} {count} times. Remedy: keep one."
    for column in columns:
        if not str(column.get("description") or "").strip():
            yield f"{file.name}: column {column['name']} of {name} has no description. Remedy: say what it holds."


def _read(file: Path) -> dict[str, Any]:
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # ten times as fast where PyYAML has it
    content: dict[str, Any] = yaml.load(file.read_text(), loader) or {}  # noqa: S506  # both loaders are safe ones
    return content


def main() -> None:
    """Print every problem, and end with status 1 where there is one."""
    found = problems(PROJECT_ROOT / "dbt_project")
    for problem in found:
        print(problem)
    sys.exit(1 if found else 0)


if __name__ == "__main__":
    main()
