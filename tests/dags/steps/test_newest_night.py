"""The newest night is one that ran to its end, and a night far beyond the data does not even begin."""

from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from dags.steps.merge.open_night import NightError, open_night
from dags.steps.night import Night
from dags.steps.records import Finished, ServingModel
from infra.platforms import Manifest
from infra.platforms.manifest import Counts
from infra.settings import Settings

DAYS = [date(2000, 12, day) for day in (13, 14, 15)]


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path)


def left(settings: Settings, as_of: date, *, finished: bool) -> Night:
    night = Night(as_of, settings=settings)
    night.write(ServingModel(version=None, run_id=None))
    if finished:
        night.write(Finished(run_id="a run"))
    return night


def test_a_night_that_failed_or_runs_is_not_the_newest(settings: Settings) -> None:
    for day, finished in zip(DAYS, [True, True, False], strict=True):
        left(settings, day, finished=finished)
    assert Night.newest(settings) == DAYS[1]


def test_where_no_night_finished_the_newest_stands_in(settings: Settings) -> None:
    assert Night.newest(settings) == datetime.now(UTC).date()
    left(settings, DAYS[0], finished=False)
    assert Night.newest(settings) == DAYS[0]


def known(monkeypatch: pytest.MonkeyPatch, until: date | None, since: date = DAYS[0]) -> None:
    """Let the sources of all platforms have events up to this day; None: they may not be asked."""

    def between(*_: object) -> tuple[date, date]:
        assert until is not None, "a source was asked"
        return since, until

    monkeypatch.setattr("dags.steps.merge.open_night.known_between", between)


def loaded(settings: Settings, as_of: date, newest: date) -> None:
    manifest = Manifest(
        platform="forum",
        table="posts",
        as_of=as_of,
        rows=1,
        watermark_from=None,
        watermark_to=datetime(as_of.year, as_of.month, as_of.day, tzinfo=UTC),
        newest_known_at=datetime(newest.year, newest.month, newest.day, 23, tzinfo=UTC),
        columns=[],
        schema_fingerprint="",
        undeclared_columns=0,
        counts=Counts(in_source=1, read=1, landed=1),
        source_files=[],
        files=[],
        extracted_with="",
    )
    key = f"raw/platform=forum/table=posts/load_date={as_of}/_manifest.json"
    Night(as_of, settings=settings).lake.put(key, manifest.model_dump_json().encode())


def test_a_night_that_begins_again_is_not_finished(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    known(monkeypatch, DAYS[2])
    monkeypatch.setattr("dags.steps.merge.open_night.require_layout", lambda _: None)
    for day in DAYS[:2]:
        left(settings, day, finished=True)
    open_night(Night(DAYS[1], settings=settings))
    assert Night.newest(settings) == DAYS[0]


# platforms may be stale for 3 days and quiet for 7, so the last night for events of the 15th is that of the 26th
@pytest.mark.parametrize("with_load", [False, True])
def test_a_night_far_beyond_the_data_is_refused_and_changes_nothing(
    with_load: bool, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    known(monkeypatch, DAYS[2])
    if with_load:
        loaded(settings, DAYS[1], DAYS[0])
    last, beyond = Night(date(2000, 12, 26), settings=settings), Night(date(2000, 12, 27), settings=settings)
    open_night(last)
    before = list(last.lake.list())
    said = (
        r"the night of 2000-12-27 lies far beyond the data. Received: .*platform 'shop' from 2000-12-13 to 2000-12-15"
    )
    with pytest.raises(NightError, match=said) as error:
        open_night(beyond)
    assert "Remedy: choose a night up to 2000-12-26" in str(error.value)
    assert list(last.lake.list()) == before


def test_a_quiet_time_that_is_allowed_is_a_setting(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    known(monkeypatch, DAYS[2])
    patient = settings.model_copy(update={"max_quiet_days": 30})
    assert open_night(Night(date(2001, 1, 15), settings=patient))


def test_no_source_is_asked_where_the_loads_are_new_enough(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    known(monkeypatch, None)
    loaded(settings, DAYS[1], DAYS[0])
    assert open_night(Night(DAYS[2], settings=settings))
