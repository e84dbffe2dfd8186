"""The linter of descriptions finds what is missing, and nothing in our own project."""

from pathlib import Path

import pytest

from infra.dbt_descriptions import problems
from infra.warehouse import DBT_PROJECT

GOOD = """
models:
  - name: shops
    description: Shops that are open. One row per shop_id.
    columns:
      - name: shop_id
        description: The shop
"""
SEEDS = """
seeds:
  - name: towns
    description: Towns. One row per town.
    columns:
      - name: town
        description: Name of the town
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "seeds").mkdir()
    (tmp_path / "seeds" / "towns.csv").touch()
    (tmp_path / "seeds" / "_seeds.yml").write_text(SEEDS)
    (tmp_path / "models" / "core").mkdir(parents=True)
    (tmp_path / "models" / "core" / "shops.sql").touch()
    (tmp_path / "models" / "core" / "shops.yml").write_text(GOOD)
    return tmp_path


def test_our_own_models_and_seeds_are_described() -> None:
    assert problems(DBT_PROJECT) == []


def test_a_described_project_has_no_problems(project: Path) -> None:
    assert problems(project) == []


@pytest.mark.parametrize(
    ("file", "right", "wrong", "sentence"),
    [
        ("models/core/shops.yml", "        description: The shop\n", "", "column shop_id of shops has no description."),
        (
            "models/core/shops.yml",
            "description: Shops that are open. One row per shop_id.",
            "",
            "shops has no description.",
        ),
        ("models/core/shops.yml", " One row per shop_id.", "", "the description of shops does not end with its grain."),
        ("models/core/shops.yml", "name: shops", "name: shop", "shops.yml does not describe shops."),
        ("models/core/shops.yml", "name: shops", "name: shop", "shops.yml describes shop, which is not there."),
        ("models/core/shops.yml", GOOD.split("    columns:\n")[1], "", "shops has no columns."),
        (
            "models/core/shops.yml",
            "      - name: shop_id\n",
            "      - {name: shop_id, description: a}\n" * 2 + "      - name: b\n",
            "shops describes column shop_id 2 times.",
        ),
        ("seeds/_seeds.yml", "        description: Name of the town\n", "", "column town of towns has no description."),
        ("seeds/_seeds.yml", "name: towns", "name: cities", "_seeds.yml does not describe towns."),
    ],
)
def test_what_is_missing_is_named(file: str, right: str, wrong: str, sentence: str, project: Path) -> None:
    text = (project / file).read_text()
    assert right in text
    (project / file).write_text(text.replace(right, wrong))
    assert any(sentence in problem and "Remedy: " in problem for problem in problems(project))


def test_a_model_without_a_file_of_its_own_is_named(project: Path) -> None:
    (project / "models" / "core" / "shops.yml").rename(project / "models" / "core" / "_core.yml")
    found = problems(project)
    assert any("model shops has no YAML file." in problem for problem in found)
    assert any("_core.yml describes models, but no model of its name is beside it." in problem for problem in found)


def test_two_models_of_one_name_are_named(project: Path) -> None:
    (project / "models" / "lists").mkdir()
    (project / "models" / "lists" / "shops.py").touch()
    (project / "models" / "lists" / "shops.yml").write_text(GOOD)
    assert any("2 models have the name shops." in problem for problem in problems(project))
