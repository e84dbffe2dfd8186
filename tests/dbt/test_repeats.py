"""Items that are consumed again, where a platform declares it: from its sources file to the candidates."""

import shutil

import pytest

from dags.steps.learn.judge_sources import judged_on
from dags.steps.night import Night
from infra import warehouse
from infra.counterfactuals.candidates import replace_candidates
from infra.warehouse import DBT_PROJECT, run_dbt
from tests.dbt.conftest import NIGHTS, Warehouse

HAD = """
select as_of, person_id, platform, product_id, repeat_score
from marts.{table} semi join marts.positive_interactions using (as_of, person_id, product_id)
"""
POSITIVE_THERE = """
select distinct as_of, person_id, platform, product_id
from marts.interactions
inner join marts.snapshots on occurred_at < as_of and known_at < as_of and (superseded_at is null or superseded_at >= as_of)
where is_positive
"""


@pytest.fixture
def repeating(backfilled, copy_of, tmp_path, monkeypatch) -> Warehouse:
    """The last night's marts where the shop declares that its items are consumed again."""
    project = tmp_path / "dbt_project"
    shutil.copytree(DBT_PROJECT, project)
    file = project / "models" / "staging" / "shop" / "_shop__sources.yml"
    file.write_text(
        file.read_text().replace("        max_staleness", "        repeat_consumption: true\n        max_staleness")
    )
    monkeypatch.setattr(warehouse, "DBT_PROJECT", project)
    copy = copy_of(backfilled)
    built = ["run", "--full-refresh", "--select", "snapshot_labels+", "person_products", "--exclude", "tag:lists"]
    run_dbt(copy.settings, built, NIGHTS[-1])
    return copy


def test_what_a_platform_declares_reaches_its_lists_and_no_others(repeating, backfilled) -> None:
    assert backfilled.rows(HAD.format(table="candidates")) == []
    had = repeating.rows(HAD.format(table="candidates"))
    assert len(had) > 20
    assert {platform for _, _, platform, _, _ in had} == {"shop"}
    assert {row[:4] for row in had} <= {*repeating.rows(POSITIVE_THERE)}
    assert min(score for *_, score in had) > 0
    others = "from marts.candidates where platform != 'shop'"
    assert repeating.rows(others) == backfilled.rows(others)
    # a positive interaction with one of these within the horizon is a label, and the gate on lists lets them pass
    again = "from marts.training_examples where label = 1 and repeat_score > 0"
    assert repeating.rows(again)
    flagged = "from marts.candidates semi join marts.person_products using (person_id, platform, product_id)"
    assert repeating.rows(f"{flagged} where as_of = date '{NIGHTS[-1]}'") == []

    # whether a platform helps another is judged by what was new to people alone
    wanted, as_before = (judged_on(Night(NIGHTS[-1], settings=one.settings)) for one in (repeating, backfilled))
    assert wanted["wanted"].equals(as_before["wanted"])

    replace_candidates(repeating.settings, NIGHTS[-1], targets=["shop"], without=["stream"])
    assert repeating.rows(HAD.format(table="candidates")) == had
