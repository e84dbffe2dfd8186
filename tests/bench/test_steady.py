"""The steady platforms have the rhythm that they say, and change as a database does; effects count lists and hits."""

import sqlite3
from contextlib import closing
from datetime import date, timedelta
from pathlib import Path

import duckdb
import pandas as pd
import pytest

from dags.steps.night import Night
from infra.settings import Settings
from tests.bench.damaged import DOES
from tests.bench.damages import damages
from tests.bench.effects import Effect, effect_of
from tests.bench.nights import since
from tests.bench.steady import FIRST_NIGHT, Shape, arrive, following_week, night_amounts

SMALL = Shape(people=200, films=80, days_before=14, nights=4, holiday=2, joined_later=0.1)


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from tests.bench.steady import build_steady

    folder = tmp_path_factory.mktemp("steady") / "demo"
    build_steady(folder, SMALL)
    return folder


def test_weekends_are_busy_and_the_holiday_is_quiet() -> None:
    shape = Shape(growth=0.0, noise=0.0)
    amounts = night_amounts(10_000, shape)
    days = pd.date_range(shape.begin, periods=shape.days)
    saturdays, tuesdays = amounts[days.weekday == 5], amounts[days.weekday == 1]
    assert saturdays.mean() > 1.3 * tuesdays.mean()
    holiday = shape.days_before + shape.holiday
    assert amounts[holiday] < 0.6 * amounts[holiday - 7]


def test_a_change_overwrites_its_row(demo: Path) -> None:
    def products() -> list[tuple[str, str]]:
        with closing(sqlite3.connect(demo / "shop.sqlite")) as client:
            return client.execute("select sku, updated_at from products order by sku").fetchall()

    before = products()
    arrive(demo, FIRST_NIGHT + timedelta(1))
    after = products()
    assert [sku for sku, _ in after] == [sku for sku, _ in before]
    assert after != before
    arrive(demo, FIRST_NIGHT + timedelta(1))
    assert products() == after


def test_the_following_week_names_items_as_the_platforms_do(demo: Path) -> None:
    week = following_week(demo, FIRST_NIGHT)
    with duckdb.connect(str(demo / "stream.duckdb")) as connection:
        titles = {str(title) for (title,) in connection.execute("select title_id from titles").fetchall()}
    assert set(week.loc[week["platform"] == "stream", "item_id"]) <= titles
    assert week["at"].min() >= pd.Timestamp(FIRST_NIGHT).timestamp()


def test_an_effect_is_the_share_of_lists_and_hits_that_changed(tmp_path: Path) -> None:
    lists = pd.DataFrame(
        {
            "platform": "shop",
            "account_id": ["a", "a", "b", "b"],
            "item_id": ["1", "2", "1", "2"],
            "rank": [1, 2, 1, 2],
            "slot": "ranked",
        }
    )
    lists.to_parquet(tmp_path / "clean.parquet")
    lists.assign(item_id=["2", "1", "1", "3"]).to_parquet(tmp_path / "other.parquet")
    (tmp_path / "truth").mkdir()
    events = pd.DataFrame({"platform": "shop", "account_id": ["a", "b"], "item_id": ["2", "2"], "at": 86_400})
    events.to_parquet(tmp_path / "truth" / "events.parquet")
    found = effect_of(tmp_path / "clean.parquet", tmp_path / "other.parquet", tmp_path, date(1970, 1, 2))
    assert found == Effect(lists_changed=0.5, hits=0.5)


def test_a_damaged_file_has_the_same_accounts_on_other_lists(tmp_path: Path) -> None:
    night = Night(FIRST_NIGHT, settings=Settings(home=tmp_path))
    key = night.key("lists.parquet")
    with duckdb.connect() as connection:
        sql = "select 'a' || n as account_id, 'i' || n as item_id from range(20) as numbers(n)"
        before = connection.execute(sql).to_arrow_table()
    night.write_table(key, before)
    [permuted] = [each for each in damages() if each.name == "lists: accounts permuted"]
    DOES[permuted.of](night, permuted)
    after = night.read_table(key)
    assert sorted(after["account_id"].to_pylist()) == sorted(before["account_id"].to_pylist())
    assert after.to_pylist() != before.to_pylist()


def test_damages_have_names_of_their_own_and_steps_that_follow() -> None:
    names = [damage.name for damage in damages()]
    assert len(set(names)) == len(names)
    assert all(since(damage.after) for damage in damages())
