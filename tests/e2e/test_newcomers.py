"""People of whom nothing is known still get a list, and it says what it is."""

import duckdb
import pyarrow.compute as pc
import pytest

from dags.steps.score import assemble_lists, score
from tests.e2e.conftest import SECOND, NightOf, TwoNights


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
