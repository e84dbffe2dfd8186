"""Which generators of candidates dbt builds: seed `generators` names them, and each is a model `generator_<name>`."""

import csv
import re
from collections import Counter
from pathlib import Path


class GeneratorError(ValueError):
    """Seed and models do not name the same generators; the message says which, and what to do."""


def generator_names(project: Path) -> list[str]:
    """The generators of the dbt project in folder ``project``, in the order of seed `generators`.

    Raises:
        GeneratorError: a name is not in lower-case letters, digits and underscores, or stands in two rows, or has no model; or a
            model has no row; or the seed lacks generator `repeats`.
    """
    seed = project / "seeds" / "generators.csv"
    with seed.open(newline="") as lines:
        names = [row["generator"] for row in csv.DictReader(lines)]
    models = {path.stem.removeprefix("generator_") for path in (project / "models").rglob("generator_*.sql")}
    models |= {path.stem.removeprefix("generator_") for path in (project / "models").rglob("generator_*.py")}
    for name, rows in Counter(names).items():
        if not re.fullmatch(r"[a-z][a-z0-9_]*", name):
            raise GeneratorError(
                f"seed {seed}: '{name}' is not a name of lower-case letters, digits and underscores. Remedy: rename it."
            )
        if rows > 1:
            raise GeneratorError(f"seed {seed}: {rows} rows name generator '{name}'. Remedy: keep one of them.")
        if name not in models:
            raise GeneratorError(
                f"seed {seed}: generator '{name}' has no model. Received: models for {', '.join(sorted(models))}. "
                f"Remedy: add generator_{name}.sql to models/marts/candidates/generators, or remove the row."
            )
    if unnamed := sorted(models - set(names)):
        raise GeneratorError(
            f"seed {seed}: model 'generator_{unnamed[0]}' has no row. Received: rows for {', '.join(names)}. "
            f"Remedy: add a row for '{unnamed[0]}', or remove the model."
        )
    if "repeats" not in names:
        raise GeneratorError(
            f"seed {seed}: generator 'repeats' is missing, which candidate_sources reads by name. Remedy: restore its row."
        )
    return names
