"""When all snapshots are built again."""

from datetime import date
from pathlib import Path

import pytest

from dags.steps.learn import build_marts as build
from dags.steps.night import Night
from infra.platforms import Platform
from infra.settings import Settings


def declared(**options: object) -> dict[str, Platform]:
    table = {"name": "t", "key": ["id"], "columns": [{"name": "id"}]}
    return {
        "shop": Platform.model_validate({"name": "shop", "connection": "CROSSREC_URL", "tables": [table], **options})
    }


def test_all_snapshots_are_built_again_where_a_platform_declares_repeat_consumption_otherwise(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog
) -> None:
    """Labels and candidates of earlier snapshots were made by the other rule."""
    night = Night(date(2000, 12, 15), settings=Settings(home=tmp_path))
    runs: list[tuple[str, ...]] = []
    monkeypatch.setattr(build, "build", lambda _, select, *options, exclude: runs.append((select, *options[-1:])))
    caplog.set_level("INFO", "dags.steps")
    for platforms in (declared(), declared(), declared(repeat_consumption=True), declared(repeat_consumption=True)):
        monkeypatch.setattr(Night, "platforms", platforms)
        build.build_marts(night)
        build.build_candidates(night)
    anew = [("tag:marts", "--full-refresh"), ("tower_vectors+", "--full-refresh")]
    as_ever = [("tag:marts", "cautious"), ("tower_vectors+",)]
    assert runs == [*anew, *as_ever, *anew, *as_ever]
    assert caplog.messages == ["other platforms than before declare repeat consumption; all snapshots are built again"]


def test_all_snapshots_are_built_again_where_there_is_another_generator(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog
) -> None:
    """Otherwise the ranker would learn from snapshots without its candidates."""
    night = Night(date(2000, 12, 15), settings=Settings(home=tmp_path))
    runs: list[tuple[str, ...]] = []
    monkeypatch.setattr(build, "build", lambda _, select, *options, exclude: runs.append((select, *options[-1:])))
    monkeypatch.setattr(Night, "platforms", declared())
    caplog.set_level("INFO", "dags.steps")
    for names in (["repeats"], ["repeats"], ["repeats", "ease"], ["ease", "repeats"]):
        monkeypatch.setattr(build, "generator_names", lambda _, names=names: names)
        build.build_marts(night)
        build.build_candidates(night)
    anew = [("tag:marts", "--full-refresh"), ("tower_vectors+", "--full-refresh")]
    as_ever = [("tag:marts", "cautious"), ("tower_vectors+",)]
    assert runs == [*anew, *as_ever, *anew, *as_ever]
    assert caplog.messages == ["there are other generators than before; all snapshots are built again"]


def test_all_snapshots_are_built_again_where_a_load_of_an_earlier_night_was_accepted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog
) -> None:
    """Labels were made without it. A load of tonight is new to all, and builds nothing again."""
    settings = Settings(home=tmp_path)
    runs: list[tuple[str, ...]] = []
    monkeypatch.setattr(build, "build", lambda _, select, *options, exclude: runs.append((select, *options[-1:])))
    monkeypatch.setattr(Night, "platforms", declared())
    caplog.set_level("INFO", "dags.steps")
    for day, loads in ((13, (13,)), (14, (14,)), (15, (12, 15)), (16, (16,))):
        night = Night(date(2000, 12, day), settings=settings)
        for load in loads:
            night.lake.put(f"raw/platform=shop/table=t/load_date=2000-12-{load}/_manifest.json", b"{}")
        build.build_marts(night)
        build.build_candidates(night)
    anew = [("tag:marts", "--full-refresh"), ("tower_vectors+", "--full-refresh")]
    as_ever = [("tag:marts", "cautious"), ("tower_vectors+",)]
    assert runs == [*anew, *as_ever, *anew, *as_ever]
    assert caplog.messages == ["a load of an earlier night was accepted, or is held now; all snapshots are built again"]
