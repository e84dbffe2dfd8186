"""What steps leave for each other: written and read by its type, and refused where another release wrote it."""

from datetime import date
from pathlib import Path

import pytest

from dags.steps import records
from dags.steps.merge.open_night import open_night
from dags.steps.night import Night
from dags.steps.records import Evaluation, Extracted, LeakageCheck, LoadedTable, RecordError, ServingModel, file_name
from expectations.gate import CheckResult, GateResult
from infra.layout import OtherLayoutError
from infra.report.night import NightSummary
from infra.settings import Settings

AS_OF = date(2000, 12, 15)


@pytest.fixture
def night(tmp_path: Path) -> Night:
    return Night(AS_OF, settings=Settings(home=tmp_path))


def gate(success: bool) -> GateResult:
    check = CheckResult(description="labels of 0 or 1", expectation="in_set", severity="stop", success=success)
    return GateResult(gate="loads", platform="shop", as_of=AS_OF, checks=(check,))


def test_a_record_is_read_as_it_was_written(night: Night) -> None:
    loaded = Extracted(loads=(LoadedTable(table="orders", rows=3, stale=False),))
    night.write(loaded, "shop")
    night.write(ServingModel(version=4, run_id="abc"))
    assert night.read(Extracted, "shop") == loaded
    assert night.read(ServingModel) == ServingModel(version=4, run_id="abc")
    assert night.find(Extracted, "forum") is None
    assert [key.rpartition("/")[2] for key in night.lake.list("nights/")] == [
        "extracted-shop.json",
        "serving_model.json",
    ]


@pytest.mark.parametrize(("success", "verdict"), [(True, "pass"), (False, "stop")])
def test_a_gates_verdict_is_written_for_people_and_follows_from_its_checks(
    success: bool, verdict: str, night: Night
) -> None:
    result = gate(success)
    night.write(result, result.key)
    assert f'"verdict": "{verdict}"' in night.lake.read(night.key("gate_result-loads-shop.json"))[0].decode()
    assert night.read(GateResult, "loads-shop") == result
    night.write(LeakageCheck(fingerprint="f", snapshot=AS_OF, checked_in=AS_OF, result=result))
    assert night.read(LeakageCheck).result.verdict == verdict


def test_every_record_has_a_file_of_its_own() -> None:
    kinds = [
        kind
        for kind in vars(records).values()
        if isinstance(kind, type) and issubclass(kind, records.Record) and kind is not records.Record
    ]
    names = [file_name(kind) for kind in (*kinds, GateResult, NightSummary)]
    assert len(names) > 10
    assert len({*names}) == len(names)
    assert file_name(NightSummary) == "night_summary.json"


def test_a_record_that_no_step_left_is_named_with_its_remedy(night: Night) -> None:
    with pytest.raises(RecordError, match=r"has no record 'evaluation.json'.*Remedy: run the night of 2000-12-15"):
        night.read(Evaluation)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ('{"comparison": [], "reasons": ["promote"], "popularity_window": null}', "comparison: "),
        ('{"challenger": null, "reasons": []}', "reasons: Extra inputs are not permitted"),
        ("[1, 2]", "the whole record: "),
    ],
)
def test_a_record_of_another_release_is_refused_in_one_sentence(content: str, said: str, night: Night) -> None:
    night.lake.put(night.key("evaluation.json"), content.encode())
    with pytest.raises(RecordError) as error:
        night.read(Evaluation)
    assert said in str(error.value)
    assert "evaluation.json is not one of this release" in str(error.value)
    assert "Remedy: another release made this home; set CROSSREC_HOME" in str(error.value)
    assert "\n" not in str(error.value)


def test_what_another_night_found_is_used_again_by_its_fingerprint(night: Night) -> None:
    before = Night(date(2000, 12, 14), settings=night.settings)
    before.write(Evaluation(fingerprint="same"))
    night.write(Evaluation(fingerprint="other"))
    assert night.earlier_with(Evaluation, "same") == Evaluation(fingerprint="same")
    assert night.earlier_with(Evaluation, "unknown") is None


def test_a_home_of_another_release_is_refused_before_anything_is_done(
    night: Night, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The releases before layouts had numbers left nights without one."""
    monkeypatch.setattr("dags.steps.merge.open_night._require_data", lambda _: None)
    night.lake.put("nights/as_of=2000-12-14/summary.json", b"{}")
    said = r"another release of crossrec made the lake .*Received: layout none, expected 3\. Remedy: set CROSSREC_HOME"
    with pytest.raises(OtherLayoutError, match=said):
        open_night(night)
    assert [*night.lake.list()] == ["nights/as_of=2000-12-14/summary.json"]

    night.lake.put("layout.json", b'{"layout": 1}')
    with pytest.raises(OtherLayoutError, match="Received: layout 1, expected 3"):
        open_night(night)


def test_a_new_home_is_marked_and_stays_good(night: Night, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dags.steps.merge.open_night._require_data", lambda _: None)
    assert open_night(night) == ["forum", "shop", "stream"]
    night.write(ServingModel(version=None, run_id=None))
    assert open_night(night) == ["forum", "shop", "stream"]
