"""From an evaluation to the one version that serves the night; the registry is a real one."""

from collections.abc import Callable
from datetime import date
from pathlib import Path

import pytest

from dags.steps.learn.check_promotion import check_promotion
from dags.steps.learn.choose_serving_model import NoServingModelError, choose_serving_model
from dags.steps.night import Night
from dags.steps.records import Comparison, Evaluation, JudgedVersion, Promotion, ServingModel
from expectations.gate import GateResult
from infra.mlflow.registry import ModelVersion, Registry
from infra.report.facts import Metric
from infra.settings import Settings

AS_OF = date(2000, 12, 15)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One registry for all tests."""
    return tmp_path_factory.mktemp("home")


@pytest.fixture
def settings(home: Path, tmp_path: Path, request: pytest.FixtureRequest) -> Settings:
    """Each test has a model and a lake of its own."""
    return Settings(
        home=home, lake=str(tmp_path / "lake"), model_name="".join(c if c.isalnum() else "-" for c in request.node.name)
    )


@pytest.fixture
def registered(settings: Settings) -> Callable[[], ModelVersion]:
    """Registers one more version, which becomes the challenger."""
    registry = Registry(settings)
    return lambda: registry.log_files({"model": b""}, {}, kind="linkage", as_of=AS_OF, metrics={}, tags={})


def judged(version: ModelVersion, as_of: date = AS_OF) -> JudgedVersion:
    return JudgedVersion(version=version.version, run_id=version.run_id, as_of=as_of)


def comparison(gain: float) -> Comparison:
    """NDCG@10 of the champion is 0.1; the challenger's is more by ``gain``."""

    def metric(contender: str, value: float, against: str | None = None) -> Metric:
        return Metric(
            contender=contender,
            against=against,
            metric="ndcg_at_10",
            value=value,
            low=value - 0.001,
            high=value + 0.001,
            people=500,
        )

    return Comparison(
        compared_in=AS_OF,
        popularity_window="popularity_7d",
        metrics=(
            metric("challenger", 0.1 + gain),
            metric("challenger", gain, "champion"),
            metric("challenger", gain, "popularity"),
            metric("champion", 0.1),
            metric("popularity", 0.1),
        ),
    )


def decided(settings: Settings, evaluation: Evaluation, **changed: object) -> Night:
    """A night of its own for each test, after its promotion gate."""
    night = Night(
        AS_OF, settings=settings.model_copy(update={"lake": str(settings.home / settings.model_name), **changed})
    )
    platforms = {"platforms_judged": tuple(night.platforms)} if evaluation.comparison else {}
    night.write(evaluation.model_copy(update=platforms))
    check_promotion(night)
    return night


def test_a_better_challenger_serves_this_night(settings: Settings, registered: Callable[[], ModelVersion]) -> None:
    champion, registry = registered(), Registry(settings)
    registry.promote(champion)
    challenger = registered()
    evaluation = Evaluation(challenger=judged(challenger), champion=judged(champion), comparison=comparison(0.02))
    night = decided(settings, evaluation)
    assert night.read(Promotion).promote
    assert night.read(GateResult, "promotion").verdict == "pass"
    assert registry.champion() == champion  # the gate checks, and changes nothing
    choose_serving_model(night)
    assert registry.champion() == challenger
    assert night.read(ServingModel) == ServingModel(version=challenger.version, run_id=challenger.run_id)


@pytest.mark.parametrize(
    ("gain", "champion_as_of", "auto_promote", "said"),
    [
        (-0.02, AS_OF, True, "keep: overall NDCG@10"),
        (0.02, date(2000, 12, 22), True, "keep: the champion learned from a newer night (2000-12-22)"),
        (0.02, AS_OF, False, "waits for a person: version 2 may be promoted in MLflow"),
    ],
)
def test_a_challenger_that_may_not_serve_leaves_the_champion(
    gain: float,
    champion_as_of: date,
    auto_promote: bool,
    said: str,
    settings: Settings,
    registered: Callable[[], ModelVersion],
) -> None:
    champion, registry = registered(), Registry(settings)
    registry.promote(champion)
    challenger = registered()
    evaluation = Evaluation(
        challenger=judged(challenger), champion=judged(champion, champion_as_of), comparison=comparison(gain)
    )
    night = decided(settings, evaluation, auto_promote=auto_promote)
    assert said in "; ".join(night.read(Promotion).reasons)
    assert night.read(GateResult, "promotion").verdict == "warn"
    choose_serving_model(night)
    assert registry.champion() == champion
    assert night.read(ServingModel).version == champion.version


def test_the_first_model_serves_and_serves_again(settings: Settings, registered: Callable[[], ModelVersion]) -> None:
    """Even where a person promotes later versions: the first has nothing to be compared with."""
    first = registered()
    night = decided(settings, Evaluation(challenger=judged(first), comparison=comparison(0.0)), auto_promote=False)
    choose_serving_model(night)
    assert night.read(ServingModel).version == first.version

    night = decided(settings, Evaluation(challenger=judged(first), champion=judged(first), comparison=comparison(0.0)))
    assert night.read(Promotion).reasons[0] == "version 1 serves already; there was nothing new to learn"
    choose_serving_model(night)
    assert night.read(ServingModel).version == first.version


def test_before_there_is_enough_history_no_model_serves(settings: Settings) -> None:
    night = decided(settings, Evaluation())
    assert night.read(Promotion).reasons == ("there is no model yet, for there is not enough history",)
    assert night.find(GateResult, "promotion") is None
    choose_serving_model(night)
    assert night.read(ServingModel) == ServingModel(version=None, run_id=None)


def test_where_no_version_may_serve_the_night_stops(settings: Settings, registered: Callable[[], ModelVersion]) -> None:
    """Nobody with candidates had a positive interaction, so nothing tells whether the first model is any good."""
    night = decided(settings, Evaluation(challenger=judged(registered()), held_out=date(2000, 12, 7)))
    with pytest.raises(NoServingModelError, match=r"no version of '.*' is champion.*Remedy: see why"):
        choose_serving_model(night)
    assert night.find(ServingModel) is None
