"""A platform whose data are too old keeps its published lists; the others get new ones, and a rollback knows of all."""

import io
import sqlite3
from contextlib import closing
from datetime import date
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dags.steps.night import Night
from dags.steps.records import Delivery, FrozenLists, ServingModel, WrittenBack
from dags.steps.serve.frozen import freeze, lists_to_publish
from dags.steps.serve.publish import publish
from dags.steps.serve.roll_back import roll_back
from dags.steps.serve.write_back import write_back
from infra.platforms import PlatformError
from infra.publications import PublishError, current_publication, published_lists
from infra.settings import Settings

DECLARED = """
sources:
  - name: {name}
    config: {{meta: {{connection: CROSSREC_{name}_URL, demo: "sqlite:///{{demo}}/{name}.sqlite", write_back: {{}}}}}}
    tables:
      - name: orders
        config: {{meta: {{contract: events, key: [order_no]}}}}
        columns: [{{name: order_no}}]
"""
FIRST, SECOND, THIRD = (date(2000, 12, day) for day in (15, 16, 17))


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Of a home with two platforms, forum and shop."""
    for name in ("forum", "shop"):
        folder = tmp_path / "dbt_project" / "models" / "staging" / name
        folder.mkdir(parents=True)
        (folder / f"_{name}__sources.yml").write_text(
            DECLARED.format(name=name).replace(f"_{name}_URL", f"_{name.upper()}_URL")
        )
        (tmp_path / "demo").mkdir(exist_ok=True)
        with closing(sqlite3.connect(tmp_path / "demo" / f"{name}.sqlite")) as connection:
            connection.execute("create table orders (order_no text)")
    monkeypatch.setattr("dags.steps.night.DBT_PROJECT", tmp_path / "dbt_project")
    return Settings(home=tmp_path, demo=tmp_path / "demo")


def lists(as_of: date, platforms: str = "forum shop") -> pa.Table:
    """One list of two items on each platform; the items are called after the night."""
    rows = [
        {
            "platform": platform,
            "account_id": "C1",
            "person_id": "P1",
            "rank": rank,
            "item_id": f"{platform} {as_of} {rank}",
            "product_id": f"P{rank}",
            "score": 1.0 / rank,
            "strategy": "personalised",
            "slot": "ranked",
            "propensity": 1.0,
            "reason": "because",
            "as_of": as_of,
            "model_version": str(as_of.day),
            "recommendation_id": f"{platform}{as_of}{rank}",
        }
        for platform in platforms.split()
        for rank in (1, 2)
    ]
    return pa.Table.from_pylist(rows)


def run(settings: Settings, as_of: date, frozen: str = "", reached: bool = True) -> Night:
    """Everything that the night does with its lists."""
    night = Night(as_of, settings=settings)
    for platform in night.platforms:
        stale = platform == frozen or not reached
        night.write(Delivery(data_of=date(2000, 12, 10) if stale else as_of, is_frozen=platform == frozen), platform)
    night.write_table(night.key("lists.parquet"), freeze(night, lists(as_of)))
    night.write(ServingModel(version=None, run_id=None))
    publish(night)
    for platform in night.platforms:
        write_back(night, platform)
    return night


def on(settings: Settings, platform: str) -> list[str]:
    with closing(sqlite3.connect(settings.demo_path / f"{platform}.sqlite")) as connection:
        return [item for (item,) in connection.execute("select item_id from crossrec_recommendations order by rank")]


def items(platform: str, as_of: date) -> list[str]:
    return [f"{platform} {as_of} {rank}" for rank in (1, 2)]


def current(settings: Settings) -> pa.Table:
    lake = Night(FIRST, settings=settings).lake
    publication, _ = current_publication(lake)
    assert publication is not None
    return published_lists(lake, publication)


def test_a_frozen_platform_keeps_its_lists_and_the_others_get_new_ones(settings: Settings) -> None:
    run(settings, FIRST)
    night = run(settings, SECOND, frozen="shop")
    assert on(settings, "forum") == items("forum", SECOND)
    assert on(settings, "shop") == items("shop", FIRST)
    published = current(settings)
    assert published["item_id"].to_pylist() == items("forum", SECOND) + items("shop", FIRST)
    kept = lists(FIRST, "shop").to_pylist()
    assert published.to_pylist()[2:] == kept  # with the night and the model that made them
    assert night.find(WrittenBack, "shop") is None
    assert pq.read_table(night.lake.uri(night.key("lists.parquet")))["platform"].unique().to_pylist() == ["forum"]


def test_the_same_night_again_changes_nothing(settings: Settings) -> None:
    run(settings, FIRST)
    before = lists_to_publish(run(settings, SECOND, frozen="shop"))
    pointer = Night(FIRST, settings=settings).lake.read("publications/current.json")
    night = run(settings, SECOND, frozen="shop")
    assert lists_to_publish(night) == before
    assert night.lake.read("publications/current.json") == pointer


def test_it_stays_frozen_for_nights_and_gets_new_lists_when_it_is_back(settings: Settings) -> None:
    run(settings, FIRST)
    run(settings, SECOND, frozen="shop")
    run(settings, THIRD, frozen="shop")
    assert current(settings)["item_id"].to_pylist() == items("forum", THIRD) + items("shop", FIRST)
    run(settings, date(2000, 12, 18))
    assert on(settings, "shop") == items("shop", date(2000, 12, 18))


def test_a_night_with_a_frozen_platform_is_rolled_back_and_forward(settings: Settings) -> None:
    run(settings, FIRST)
    newer, _ = current_publication(run(settings, SECOND, frozen="shop").lake)
    assert newer is not None
    list(roll_back(settings, "", apply=True))
    assert (on(settings, "forum"), on(settings, "shop")) == (items("forum", FIRST), items("shop", FIRST))
    list(roll_back(settings, newer.publication_id, apply=True))
    assert (on(settings, "forum"), on(settings, "shop")) == (items("forum", SECOND), items("shop", FIRST))


def test_an_older_night_run_again_keeps_what_was_published_up_to_it(settings: Settings) -> None:
    for as_of in (FIRST, THIRD):
        run(settings, as_of)
    night = Night(SECOND, settings=settings)
    night.write(Delivery(data_of=date(2000, 12, 10), is_frozen=True), "shop")
    night.write_table(night.key("lists.parquet"), freeze(night, lists(SECOND)))
    found = pq.read_table(io.BytesIO(lists_to_publish(night)))
    assert found["item_id"].to_pylist() == items("forum", SECOND) + items("shop", FIRST)


def test_before_anything_was_published_there_is_nothing_to_keep(settings: Settings) -> None:
    night = run(settings, FIRST, frozen="shop")
    assert night.read(FrozenLists) == FrozenLists(platforms=("shop",), publication_id=None)
    assert current(settings)["platform"].unique().to_pylist() == ["forum"]


def test_lists_of_an_earlier_release_are_kept_with_the_columns_that_they_have(settings: Settings) -> None:
    night = Night(FIRST, settings=settings)
    night.write_table(night.key("lists.parquet"), lists(FIRST).drop_columns(["propensity"]))
    night.write(ServingModel(version=None, run_id=None))
    publish(night)
    run(settings, SECOND, frozen="shop")
    published = current(settings)
    assert published.schema.names == lists(SECOND).schema.names
    assert published["propensity"].to_pylist() == [1.0, 1.0, None, None]


def test_lists_that_are_damaged_are_not_published_again(settings: Settings) -> None:
    night = run(settings, FIRST)
    publication, _ = current_publication(night.lake)
    assert publication is not None
    night.lake.put(f"{publication.key}/lists.parquet", b"other bytes")
    with pytest.raises(PublishError, match="is damaged in the lake"):
        run(settings, SECOND, frozen="shop")


def test_a_platform_still_out_of_reach_keeps_its_lists_without_stopping_the_night(settings: Settings) -> None:
    run(settings, FIRST)
    (settings.demo_path / "shop.sqlite").rename(settings.demo_path / "away.sqlite")
    with pytest.raises(PlatformError, match="platform 'shop'"):
        run(settings, SECOND)  # it could be read tonight
    night = run(settings, THIRD, reached=False)
    assert night.find(WrittenBack, "shop") is None
    assert on(settings, "forum") == items("forum", THIRD)
