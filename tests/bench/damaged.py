"""A night that is damaged between two of its steps: the steps that follow run, and say whether one of them notices.

The clean night runs once, and is copied after each step whose work some corruption damages.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path

import duckdb

from dags.steps.night import Night
from dags.steps.records import Evaluation, ServingModel
from infra.mlflow.registry import CHAMPION, Registry
from infra.warehouse import connect
from ml.evaluation.comparison import CHALLENGER
from tests.bench.damages import Damage
from tests.bench.effects import effect_of, keep_lists
from tests.bench.nights import WHOLE, StepFailed, copied, night_of, run_steps, since
from tests.bench.outcomes import Outcome

UNTIL_LISTS = WHOLE[:-1]  # nothing is published: the lists are read as they would be


class Damaged:
    """Judges damages on copies of a clean night that trains a model, after each step whose work one of them damages."""

    def __init__(self, home: Path, as_of: date, scratch: Path, damages: Sequence[Damage]) -> None:
        self.as_of, self.scratch, self.clean = as_of, scratch, scratch / "clean_trained_lists.parquet"
        self.demo = home / "demo"
        self.after: dict[str, Path] = {}
        steps = {damage.after for damage in damages}
        night = night_of(copied(home, scratch / "whole"), as_of)
        for step in UNTIL_LISTS:
            run_steps(night, [step])
            if step.name in steps:
                self.after[step.name] = copied(night.settings.home, scratch / f"after_{step.name}")
        keep_lists(night, self.clean)

    def judge(self, damage: Damage) -> Outcome:
        """Stopped at a later step; or silent, with what it does to the lists."""
        night = night_of(copied(self.after[damage.after], self.scratch / "damaged"), self.as_of)
        found = Outcome(damage.name, damage.expected, "silent", changed=1.0, group="between steps")
        DOES[damage.of](night, damage)
        try:
            run_steps(night, [step for step in since(damage.after) if step in UNTIL_LISTS])
        except StepFailed as failed:
            return replace(found, outcome="stopped", where=failed.step, because=failed.because)
        lists = keep_lists(night, self.scratch / "damaged_lists.parquet")
        effect = effect_of(self.clean, lists, self.demo, self.as_of)
        return replace(found, lists_changed=effect.lists_changed, hits=effect.hits)


def _damage_table(night: Night, damage: Damage) -> None:
    with connect(night.settings, read_only=False) as warehouse:
        warehouse.execute(damage.sql.replace("{rows}", damage.where))


def _damage_file(night: Night, damage: Damage) -> None:
    key = damage.where.format(night=night.as_of)
    with duckdb.connect() as connection:
        connection.register("given", night.read_table(key))
        connection.execute("create table rows as from given")
        connection.execute(damage.sql.replace("{rows}", "rows"))
        night.write_table(key, connection.execute("from rows").to_arrow_table())


def _damage_registry(night: Night, damage: Damage) -> None:
    {"swap": _swap, "delete": _delete, "inflate": _inflate, "unalias": _unalias, "misname": _misname}[damage.sql](night)


def _swap(night: Night) -> None:
    for file in _model_files(night):
        file.write_bytes(file.read_bytes()[::-1])


def _delete(night: Night) -> None:
    for file in _model_files(night):
        file.unlink()


def _model_files(night: Night) -> Iterator[Path]:
    return (night.settings.home / "mlflow").rglob("model.keras")


def _inflate(night: Night) -> None:
    """Whatever was measured of the challenger, it is twice as good."""
    evaluation = night.read(Evaluation)
    if evaluation.comparison is None:
        raise ValueError(f"the night of {night.as_of} compared nothing")
    metrics = tuple(
        metric.model_copy(update={"value": metric.value * 2}) if metric.contender == CHALLENGER else metric
        for metric in evaluation.comparison.metrics
    )
    night.write(
        evaluation.model_copy(update={"comparison": evaluation.comparison.model_copy(update={"metrics": metrics})})
    )


def _unalias(night: Night) -> None:
    registry = Registry(night.settings)
    registry._client.delete_registered_model_alias(registry.name, CHAMPION)


def _misname(night: Night) -> None:
    night.write(night.read(ServingModel).model_copy(update={"version": 999}))


DOES: dict[str, Callable[[Night, Damage], None]] = {
    "table": _damage_table,
    "file": _damage_file,
    "registry": _damage_registry,
}
