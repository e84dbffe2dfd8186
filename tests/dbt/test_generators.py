"""A new generator is a model and a line of a seed, nothing else."""

import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from infra import warehouse
from infra.warehouse import DBT_PROJECT, WarehouseError, connect, run_dbt
from tests.dbt.conftest import NIGHTS

# the items with the longest ids
MODEL = """
select pairs.as_of, pairs.pair_id, offers.offer_id, length(offers.item_id) + 0.5 as score
from {{ ref('candidate_pairs') }} as pairs
inner join {{ ref('offers') }} as offers using (as_of, platform)
where {{ is_proposed('pairs.as_of') }}
"""
LINE = "longest_id,3,11,its id is long,because of what you like\n"
BUILT = ["run", "--full-refresh", "--select", "candidate_sources", "candidate_scores", "candidates"]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the dbt project that dbt runs use."""
    copy = tmp_path / "dbt_project"
    shutil.copytree(DBT_PROJECT, copy)
    monkeypatch.setattr(warehouse, "DBT_PROJECT", copy)
    return copy


def add(project: Path, model: str = "generator_longest_id", line: str = LINE) -> None:
    (project / "models" / "marts" / "candidates" / "generators" / f"{model}.sql").write_text(MODEL)
    seed = project / "seeds" / "generators.csv"
    seed.write_text(seed.read_text() + line)


def test_a_generator_that_is_added_proposes_candidates(project, backfilled, copy_of) -> None:
    add(project)
    copy = copy_of(backfilled)
    run_dbt(copy.settings, ["seed", "--select", "generators"], NIGHTS[-1])
    run_dbt(copy.settings, ["run", "--select", "generator_longest_id"], NIGHTS[-1])
    run_dbt(copy.settings, BUILT, NIGHTS[-1])

    key = "as_of, person_id, platform, item_id"
    own = "from marts.candidate_sources where generator = 'longest_id'"
    proposed = {*copy.rows(f"select {key} {own}")}
    assert len(proposed) > 40
    assert copy.rows(f"select max(position) {own}") == [(3,)]
    # nobody is offered what they consumed, and what others propose is as it was
    consumed = "semi join marts.positive_interactions using (as_of, person_id, product_id)"
    assert copy.rows(f"select * from (select * {own}) {consumed}") == []
    others = "from marts.candidate_sources where generator != 'longest_id'"
    assert copy.rows(others) == backfilled.rows(others)
    # in every snapshot the candidates count one more generator where this one proposed them
    before, after = (
        {tuple(row): generators for *row, generators in home.rows(f"select {key}, generators from marts.candidates")}
        for home in (backfilled, copy)
    )
    assert {as_of for as_of, *_ in proposed} == {as_of for as_of, *_ in before}
    assert after == {row: before.get(row, 0) + (row in proposed) for row in {*before, *proposed}}


def test_a_line_without_a_model_stops_dbt_in_one_sentence(project, empty_warehouse) -> None:
    seed = project / "seeds" / "generators.csv"
    seed.write_text(seed.read_text() + LINE)
    with pytest.raises(WarehouseError) as error:
        run_dbt(empty_warehouse.settings, ["run", "--select", "candidate_sources"], NIGHTS[-1])
    assert "generator 'longest_id' has no model" in str(error.value)


def test_every_described_column_is_there_and_every_column_is_described(empty_warehouse) -> None:
    with connect(empty_warehouse.settings) as connection:
        there = dict(
            connection.execute(
                "select table_name, list(column_name order by column_name) from information_schema.columns"
                " where table_schema in ('staging', 'intermediate', 'marts', 'seeds') group by all"
            ).fetchall()
        )
    files = [*(DBT_PROJECT / "models").rglob("*.yml"), DBT_PROJECT / "seeds" / "_seeds.yml"]
    entries = [
        entry
        for content in (yaml.safe_load(file.read_text()) for file in files)
        for entry in [*content.get("models", []), *content.get("seeds", [])]
    ]
    own = {entry["name"]: [column["name"] for column in entry["columns"]] for entry in entries}
    described = {entry["name"]: sorted({*own[entry["name"]], *own.get(passed_on(entry), [])}) for entry in entries}
    assert len(described) > 60
    assert {name: columns for name, columns in described.items() if columns != there.get(name)} == {}


def passed_on(entry: dict[str, Any]) -> str | None:
    """The model all of whose columns a model has beside its own."""
    name: str | None = entry.get("config", {}).get("meta", {}).get("also_has_columns_of")
    return name
