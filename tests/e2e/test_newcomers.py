"""People of whom nothing is known still get a list, and its strategy is `popular`."""

from datetime import date
from pathlib import Path

import duckdb
import pyarrow.compute as pc
import pytest

from dags.steps.night import Night
from dags.steps.serve.assemble_lists import assemble_lists
from dags.steps.serve.score import score
from expectations.gate import GateResult
from infra.mlflow.registry import Registry
from tests.e2e.conftest import SECOND, NightOf, TwoNights, crossrec, nightly, served, settings_of


def test_who_has_no_history_gets_the_popular_list_and_who_has_one_does_not(
    two_nights: TwoNights, night_of: NightOf
) -> None:
    night = night_of(SECOND)
    with duckdb.connect(str(night.settings.warehouse_path), read_only=True) as warehouse:
        known = {
            (platform, account): events
            for platform, account, events in warehouse.execute(
                "select accounts.platform, accounts.account_id, coalesce(events, 0)"
                " from marts.person_accounts as accounts left join marts.person_profiles as profiles"
                " on accounts.person_id = profiles.person_id and profiles.as_of = $as_of",
                {"as_of": SECOND},
            ).fetchall()
        }
    strategies = {
        (platform, row["account_id"]): row["strategy"]
        for platform, rows in two_nights.served[SECOND].items()
        for row in rows
    }
    newcomers = [account for account, events in known.items() if events < 2]
    assert newcomers
    assert {strategies[account] for account in newcomers} == {"popular"}
    assert {strategies[account] for account, events in known.items() if events >= 2} == {"personalised"}


@pytest.mark.usefixtures("nothing_published")
def test_a_platform_that_taught_the_model_nothing_gets_popular_lists(night_of: NightOf) -> None:
    night = night_of(SECOND)
    with duckdb.connect(str(night.settings.warehouse_path)) as warehouse:
        warehouse.execute("delete from marts.training_examples where platform = 'forum'")
    for shard in range(night.settings.scoring_shards):
        score(night, shard)
    assemble_lists(night)
    lists = night.read_table(night.key("lists.parquet"))
    forum = lists.filter(pc.equal(lists["platform"], "forum"))
    assert pc.unique(forum["strategy"]).to_pylist() == ["popular"]
    assert forum["model_version"].null_count == forum.num_rows
    assert forum.filter(pc.equal(forum["rank"], 20)).num_rows == len(pc.unique(forum["account_id"]))
    shop = lists.filter(pc.equal(lists["platform"], "shop"))
    assert "personalised" in pc.unique(shop["strategy"]).to_pylist()


def test_a_first_night_with_too_little_history_gives_everybody_popular_lists(prepared_home: Path) -> None:
    """The first night that trains is the one of 9 October.

    The demo begins on 20 September. The first snapshot with events before it is the one of 25 September. The night of
    9 October knows the week after that snapshot, and the week after a later one, which it holds out.
    """
    home, as_of = prepared_home, date(1997, 9, 28)
    done = crossrec(home, *nightly(as_of))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "! training data: expected at least 19 days of events; found 8" in done.stdout
    assert "nothing is trained" in done.stdout
    night = Night(as_of, settings=settings_of(home))
    assert "the night of 1997-10-09" in night.read(GateResult, "training_data").checks[0].remedy
    assert Registry(night.settings).challenger() is None
    with duckdb.connect(str(night.settings.warehouse_path), read_only=True) as warehouse:
        accounts = warehouse.execute("select platform, account_id from marts.person_accounts").fetchall()
    lists = served(home)
    rows = [(platform, row) for platform, rows in lists.items() for row in rows]
    assert {(platform, row["account_id"]) for platform, row in rows} == {*accounts}
    assert {(row["strategy"], row["model_version"]) for _, row in rows} == {("popular", None)}
    assert "expected at least 19 days of events" in (home / "lake" / night.key("report.html")).read_text()
