"""The steps of a night, called one after another in this process, as Airflow's tasks call them."""

import os
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from importlib import import_module
from pathlib import Path
from typing import Literal

from dags.steps.night import Night
from dags.steps.records import JudgedSources
from infra.deploy.embedded import airflow_environment
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
        getattr(import_module(f"dags.steps.{self.module}"), self.name)(night, *argument)

    def arguments(self, night: Night) -> Iterator[tuple[str | int, ...]]:
        if self.each == "platform":
            yield from ((platform,) for platform in night.platforms)
        elif self.each == "shard":
            yield from ((shard,) for shard in range(night.settings.scoring_shards))
        else:
            yield ()


MERGE = (
    Step("extract", "merge.extract", "platform"),
    Step("check_loads", "merge.check_loads", "platform"),
    Step("stage", "merge.stage"),
    Step("check_contents", "merge.check_contents", "platform"),
    Step("prepare", "merge.prepare"),
    Step("check_reconciliation", "merge.check_reconciliation"),
)
LINK = (
    Step("link_products", "merge.link"),
    Step("link_people", "merge.link"),
    Step("check_identity", "merge.check_identity"),
)
# without judge_sources, whose judgement is that every source stays: half a minute of each night
LEARN = (
    Step("build_marts", "learn.build_marts"),
    Step("check_interactions", "learn.check_interactions"),
    Step("train_towers", "learn.train_towers"),
    Step("build_candidates", "learn.build_marts"),
    Step("exclude_sources", "learn.exclude_sources"),
    Step("check_training_data", "learn.check_training_data"),
    Step("check_leakage", "learn.check_leakage"),
    Step("train", "learn.train"),
    Step("evaluate", "learn.evaluate"),
    Step("check_promotion", "learn.check_promotion"),
    Step("choose_serving_model", "learn.choose_serving_model"),
)
SERVE = (
    Step("score", "serve.score", "shard"),
    Step("assemble_lists", "serve.assemble_lists"),
    Step("check_recommendations", "serve.check_recommendations"),
    Step("check_lists", "serve.check_lists"),
    Step("publish", "serve.publish"),
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
        if step.name == "exclude_sources":
            night.write(JudgedSources(judged=(), excluded={}))
        try:
            step.run(night)
        except Exception as error:  # whatever it was, the night has stopped there
            raise StepFailed(step.name, error) from error


def since(name: str) -> tuple[Step, ...]:
    """The steps of a whole night that come after this one."""
    names = [step.name for step in WHOLE]
    return WHOLE[names.index(name) + 1 :]


def copied(home: Path, copy: Path) -> Path:
    """``copy``, a fresh copy of ``home``."""
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(home, copy, symlinks=True)
    return copy


def in_a_line(text: str) -> str:
    return " ".join(text.split())[:240]
