"""The steps of a night, called one after another in this process, as Airflow's tasks call them."""

import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from importlib import import_module
from pathlib import Path
from typing import Literal

from dags.steps.dbt import build
from dags.steps.learn.build_marts import TOWERS
from dags.steps.night import Night
from dags.steps.records import BuildPlan, JudgedSources, ServingModel
from infra.deploy.embedded import airflow_environment
from infra.mlflow.registry import Registry
from infra.settings import Settings

# what a small night needs: the labelled snapshots are a third of its time, and eight of them would reach back to the first day
SETTINGS = {"training_snapshots": 2}


@dataclass(frozen=True)
class Step:
    """A step of the DAG `nightly`; ``each`` says whether it runs for each platform, or for each shard of persons."""

    name: str
    module: str
    each: Literal["", "platform", "shard"] = ""

    def run(self, night: Night) -> None:
        for argument in self.arguments(night):
            self(night, *argument)

    def __call__(self, night: Night, *argument: str | int) -> None:
        getattr(import_module(self.module), self.name)(night, *argument)

    def arguments(self, night: Night) -> Iterator[tuple[str | int, ...]]:
        if self.each == "platform":
            yield from ((platform,) for platform in night.platforms)
        elif self.each == "shard":
            yield from ((shard,) for shard in range(night.settings.scoring_shards))
        else:
            yield ()


MERGE = (
    Step("extract", "dags.steps.merge.extract", "platform"),
    Step("check_loads", "dags.steps.merge.check_loads", "platform"),
    Step("stage", "dags.steps.merge.stage"),
    Step("check_contents", "dags.steps.merge.check_contents", "platform"),
    Step("prepare", "dags.steps.merge.prepare"),
    Step("check_reconciliation", "dags.steps.merge.check_reconciliation"),
)
LINK = (
    Step("link_products", "dags.steps.merge.link"),
    Step("link_people", "dags.steps.merge.link"),
    Step("check_identity", "dags.steps.merge.check_identity"),
)
LEARN = (
    Step("build_marts", "dags.steps.learn.build_marts"),
    Step("check_interactions", "dags.steps.learn.check_interactions"),
    Step("train_towers", "dags.steps.learn.train_towers"),
    Step("build_candidates", "dags.steps.learn.build_marts"),
    Step("keep_sources", __name__),
    Step("exclude_sources", "dags.steps.learn.exclude_sources"),
    Step("check_training_data", "dags.steps.learn.check_training_data"),
    Step("check_leakage", "dags.steps.learn.check_leakage"),
    Step("train", "dags.steps.learn.train"),
    Step("evaluate", "dags.steps.learn.evaluate"),
    Step("check_promotion", "dags.steps.learn.check_promotion"),
    Step("choose_serving_model", "dags.steps.learn.choose_serving_model"),
)
# a night's events become labels a week later: what they do tonight shows with the model of the night before
SERVE_CHAMPION = (
    Step("build_tonight", __name__),
    Step("check_interactions", "dags.steps.learn.check_interactions"),
    Step("train_towers", "dags.steps.learn.train_towers"),
    Step("build_candidates", "dags.steps.learn.build_marts"),
    Step("keep_sources", __name__),
    Step("exclude_sources", "dags.steps.learn.exclude_sources"),
    Step("serve_champion", __name__),
)
SERVE = (
    Step("score", "dags.steps.serve.score", "shard"),
    Step("check_features", "dags.steps.serve.check_features"),
    Step("assemble_lists", "dags.steps.serve.assemble_lists"),
    Step("check_recommendations", "dags.steps.serve.check_recommendations"),
    Step("check_lists", "dags.steps.serve.check_lists"),
    Step("publish", "dags.steps.serve.publish"),
)
WHOLE = (*MERGE, *LINK, *LEARN, *SERVE)


class StepFailed(RuntimeError):
    """A step of a night failed: a gate stopped it, or it could not go on."""

    def __init__(self, step: str, error: Exception) -> None:
        super().__init__(step, error)
        self.step, self.error = step, error

    @property
    def because(self) -> str:
        return f"{type(self.error).__name__}: {in_a_line(str(self.error))}"


def night_of(home: Path, as_of: date) -> Night:
    """The night of ``as_of`` in ``home``; the environment of this process becomes that of its tasks."""
    settings = Settings(home=home, **SETTINGS)  # type: ignore[arg-type]
    os.environ |= {name: value for name, value in airflow_environment(settings).items() if name != "PYTHONPATH"}
    return Night(as_of, "bench", settings)


def run_steps(night: Night, steps: Sequence[Step]) -> None:
    """Run the steps in order.

    Raises:
        StepFailed: names the step.
    """
    for step in steps:
        try:
            step.run(night)
        except Exception as error:  # whatever it was, the night has stopped there
            raise StepFailed(step.name, error) from error


def keep_sources(night: Night) -> None:
    """In place of judge_sources: every source stays, for to leave one out takes half a minute of each night."""
    night.write(JudgedSources(judged=(), excluded={}))


def build_tonight(night: Night) -> None:
    """In place of build_marts: earlier snapshots, from which no list is made, stay as they are where persons merged."""
    night.write(BuildPlan(full_refresh=False))
    build(night, "tag:marts", "--indirect-selection", "cautious", exclude=f"{TOWERS}+")


def serve_champion(night: Night) -> None:
    """In place of training: the model that serves already goes on to serve."""
    champion = Registry(night.settings).champion()
    night.write(ServingModel(version=champion and champion.version, run_id=champion and champion.run_id))


def since(name: str) -> tuple[Step, ...]:
    """The steps of a whole night that come after this one."""
    names = [step.name for step in WHOLE]
    return WHOLE[names.index(name) + 1 :]


def copied(home: Path, folder: Path) -> Path:
    """A fresh copy of ``home``, the only thing in ``folder``. Its path is a new one, because MLflow keeps databases open by path."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    copy = Path(tempfile.mkdtemp(dir=folder)) / "home"
    shutil.copytree(home, copy, symlinks=True)
    return copy


def in_a_line(text: str) -> str:
    return " ".join(text.split())[:240]
