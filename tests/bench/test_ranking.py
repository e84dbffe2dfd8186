"""The ranking benchmark: who is made a newcomer, and what its rows say of two ways to rank."""

from datetime import date, datetime
from pathlib import Path

import pandas as pd
import pytest

from infra.settings import Settings
from infra.warehouse import connect, query
from tests.bench.ranking import FUSED, NEWCOMERS, SEVERAL, join_one_by_one, lift_rows

# person, platform, events, and whether the first was on the 1st; all others were on the 10th, in the horizon of the 8th
HISTORIES = [
    ("joiner", "forum", 5, False),
    ("joiner", "shop", 1, False),
    ("settled", "forum", 5, True),
    ("settled", "shop", 1, False),
    ("hardly_there", "forum", 4, False),
    ("hardly_there", "shop", 4, False),
]


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    settings = Settings(home=tmp_path)
    with connect(settings, read_only=False) as warehouse:
        warehouse.execute("create schema marts")
        warehouse.execute("create schema intermediate")
        warehouse.register("histories", pd.DataFrame(HISTORIES, columns=["person_id", "platform", "events", "settled"]))
        for statement in (
            "create table marts.snapshots as from (values (date '2000-12-08', 'evaluation'), (date '2000-12-15', 'scoring'))"
            " snapshots (as_of, role)",
            "create table marts.person_accounts as select person_id, platform, person_id as account_id from histories",
            "create table intermediate.int_accounts as"
            " select platform, account_id, timestamp '2000-12-10' as created_at from marts.person_accounts",
            "create table intermediate.int_events as select platform, person_id as account_id,"
            " case when settled and number = 1 then timestamp '2000-12-01' else timestamp '2000-12-10' end as occurred_at,"
            " occurred_at as known_at, cast(null as timestamp) as superseded_at"
            " from histories, range(1, events + 1) numbers (number)",
            # on the day after the horizon
            "insert into intermediate.int_events by name"
            " select 'forum' as platform, 'joiner' as account_id, timestamp '2000-12-15' as occurred_at, occurred_at as known_at",
            "create view marts.interactions as"
            " select * from intermediate.int_events inner join marts.person_accounts using (platform, account_id)",
        ):
            warehouse.execute(statement)
    return settings


def test_newcomers_joined_all_other_platforms_a_week_sooner(settings: Settings) -> None:
    before = days(settings)
    new_there = join_one_by_one(settings).to_pylist()
    assert new_there == [{"as_of": date(2000, 12, 8), "role": "evaluation", "person_id": "joiner", "platform": "shop"}]
    assert days(settings) == before | {("joiner", "forum"): [datetime(2000, 12, 3), datetime(2000, 12, 15)]}
    opened = query(settings, "select distinct account_id, created_at from intermediate.int_accounts order by all")
    assert [day.day for day in opened["created_at"].to_pylist()] == [10, 3, 10]


def days(settings: Settings) -> dict[tuple[str, str], list[datetime]]:
    """When each account did something, as known."""
    table = query(
        settings,
        "select account_id, platform, list(distinct known_at order by known_at) as at"
        " from intermediate.int_events where known_at = occurred_at group by all",
    )
    return {(row["account_id"], row["platform"]): row["at"] for row in table.to_pylist()}


def test_fused_lists_are_measured_against_the_best_of_the_others() -> None:
    shown = {FUSED: (0.3, 0.6), "popularity_1d": (0.1, 0.3), "popularity_7d": (0.2, 0.1)}
    values = pd.concat(
        pd.DataFrame({"person_id": ["a", "b"], "platform": "shop", "week": 1, "contender": name}).assign(
            ndcg_at_10=ndcg, recall_at_20=recall
        )
        for name, (ndcg, recall) in shown.items()
    )
    figures = {row.metric: (round(row.value, 6), row.peer) for row in lift_rows(values, NEWCOMERS)}
    ndcg, recall = "0.3000 against 0.2000 (popularity_7d), 2 lists", "0.6000 against 0.3000 (popularity_1d), 2 lists"
    assert list(figures.values()) == [(0.1, ndcg), (1.5, ndcg), (0.3, recall), (2.0, recall)]
    assert len(lift_rows(values, SEVERAL)) == 2
