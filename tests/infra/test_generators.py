"""Seed and models have to name the same generators; one sentence says where they do not."""

from pathlib import Path

import pytest

from infra.generators import GeneratorError, generator_names
from infra.warehouse import DBT_PROJECT

MODELS = ("repeats", "ease")


def project(folder: Path, rows: str, models: tuple[str, ...] = MODELS) -> Path:
    (folder / "seeds").mkdir()
    (folder / "models").mkdir()
    (folder / "seeds" / "generators.csv").write_text("generator,max_candidates\n" + rows)
    for name in models:
        (folder / "models" / f"generator_{name}.sql").touch()
    return folder


def test_names_are_in_the_order_of_the_seed(tmp_path: Path) -> None:
    assert generator_names(project(tmp_path, "repeats,40\nease,40\n")) == ["repeats", "ease"]


def test_the_projects_own_seed_and_models_agree() -> None:
    models = {path.stem for path in DBT_PROJECT.rglob("generator_*.sql")}
    assert models == {f"generator_{name}" for name in generator_names(DBT_PROJECT)}


@pytest.mark.parametrize(
    ("rows", "models", "sentence"),
    [
        ("repeats,40\nease,40\nbold,5\n", MODELS, "generator 'bold' has no model. Received: models for ease, repeats."),
        ("repeats,40\n", MODELS, "model 'generator_ease' has no row. Received: rows for repeats."),
        ("repeats,40\nease,40\nease,5\n", MODELS, "2 rows name generator 'ease'."),
        ("ease,40\n", ("ease",), "generator 'repeats' is missing"),
        ("repeats,40\nEase 2,40\n", MODELS, "'Ease 2' is not a name of lower-case letters, digits and underscores."),
    ],
)
def test_a_wrong_seed_is_refused_in_one_sentence(rows: str, models: tuple[str, ...], sentence: str, tmp_path) -> None:
    with pytest.raises(GeneratorError) as error:
        generator_names(project(tmp_path, rows, models))
    assert sentence in str(error.value)
    assert "generators.csv" in str(error.value)
    assert "Remedy: " in str(error.value)
