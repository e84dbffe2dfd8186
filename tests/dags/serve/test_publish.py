"""When a night's lists are served, and when they are only kept."""

from datetime import date
from pathlib import Path

import pyarrow as pa
import pytest

from dags.steps.night import Night
from dags.steps.records import ServingModel
from dags.steps.serve.publish import publish
from dags.steps.serve.roll_back import roll_back
from infra.publications import CURRENT, current_publication, require_served, served_so_far
from infra.settings import Settings

FIRST, SECOND = date(2000, 12, 14), date(2000, 12, 15)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path)


def published(settings: Settings, as_of: date, item: str) -> str:
    """The name of the publication that the night made of lists with this one item."""
    night = Night(as_of, "run of a test", settings)
    night.write_table(night.key("lists.parquet"), pa.table({"platform": ["none"], "item_id": [item]}))
    night.write(ServingModel(version=None, run_id=None))
    before = {*night.lake.list("publications/")}
    publish(night)
    new = {key.split("/")[1] for key in {*night.lake.list("publications/")} - before} - {"log", "current.json"}
    return new.pop() if new else require_served(night.lake).publication_id


def served(settings: Settings) -> str:
    return require_served(Night(SECOND, settings=settings).lake).publication_id


def roll(settings: Settings, to: str = "") -> None:
    list(roll_back(settings, to, apply=True, who="ada", why="bad lists"))


def test_the_same_lists_again_change_nothing_and_heal_the_copy(settings: Settings) -> None:
    published(settings, FIRST, "a")
    lake = Night(FIRST, settings=settings).lake
    before = {key: lake.read(key)[0] for key in lake.list("publications/")}
    lake.delete(CURRENT)  # as where the run was killed before it wrote the copy
    published(settings, FIRST, "a")
    assert {key: lake.read(key)[0] for key in lake.list("publications/")} == before


def test_an_older_night_is_kept_and_not_served(settings: Settings) -> None:
    newer = published(settings, SECOND, "b")
    older = published(settings, FIRST, "a")
    assert older.startswith(str(FIRST))
    assert served(settings) == newer


def test_lists_that_a_rollback_took_away_do_not_come_back_by_themselves(
    settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    older, bad = published(settings, FIRST, "a"), published(settings, SECOND, "b")
    roll(settings)
    published(settings, SECOND, "b")
    assert served(settings) == older
    assert f"a rollback took these lists away; `crossrec rollback --to {bad} --apply` serves it" in caplog.text

    mended = published(settings, SECOND, "c")
    assert served(settings) == mended
    published(settings, SECOND, "b")
    assert served(settings) == mended  # still withdrawn
    roll(settings, to=bad)
    assert served(settings) == bad


def test_a_rollback_that_is_repeated_adds_no_entry(settings: Settings) -> None:
    older = published(settings, FIRST, "a")
    published(settings, SECOND, "b")
    roll(settings, to=older)
    roll(settings, to=older)
    assert len([*served_so_far(Night(FIRST, settings=settings).lake)]) == 3


def test_a_damaged_publication_that_is_served_is_healed_by_its_night(settings: Settings) -> None:
    name = published(settings, FIRST, "a")
    lake = Night(FIRST, settings=settings).lake
    lake.put(f"publications/{name}/publication.json", b"{")
    published(settings, FIRST, "a")
    publication, _ = current_publication(lake)
    assert publication is not None
    assert publication.publication_id == name
