"""A night that is damaged between two of its steps: the steps that follow run, and say whether one of them notices.

The clean night runs once, and is copied after each step whose work some corruption damages.
"""

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import duckdb

from dags.steps.night import Night
from dags.steps.records import Evaluation, ServingModel
from infra.mlflow.registry import CHAMPION, Registry
from infra.warehouse import connect
from ml.evaluation.comparison import CHALLENGER
from tests.bench.damages import Damage
from tests.bench.effects import UNTIL_LISTS, Effects
from tests.bench.nights import StepFailed, copied, night_of, run_steps, since
from tests.bench.outcomes import Outcome


class Damaged:
    """Judges damages on copies of the night that ``effects`` knows the clean lists of."""

    def __init__(self, effects: Effects, damages: Sequence[Damage]) -> None:
        self.effects, self.folder = effects, effects.scratch / "after"
        steps = {damage.after for damage in damages}
        night = effects.night()
        for step in UNTIL_LISTS:
            run_steps(night, [step])
            if step.name in steps:
                copied(night.settings.home, self.folder / step.name)

    def judge(self, damage: Damage) -> Outcome:
        """Stopped at a later step; or silent, with what it does to the lists."""
        home = copied(self.folder / damage.after, self.effects.scratch / "damaged")
        night = night_of(home, self.effects.as_of)
        found = Outcome(damage.name, "caught", "silent", changed=1.0, group="between steps")
        try:
            DOES[damage.of](night, damage)
            run_steps(night, [step for step in since(damage.after) if step in UNTIL_LISTS])
        except StepFailed as failed:
            return replace(found, outcome="stopped", where=failed.step, because=failed.because)
        effect = self.effects.effect(night)
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
    """The network of each version, in this copy of the home: MLflow's database names the home that it was logged in."""
    home = night.settings.home
    with closing(sqlite3.connect(home / "mlflow" / "mlflow.db")) as client, client:
        [(logged_in,)] = client.execute("select artifact_uri from runs limit 1").fetchall()
        root = logged_in.split("/mlflow/")[0].removeprefix("file://")
        for table, column in (
            ("runs", "artifact_uri"),
            ("experiments", "artifact_location"),
            ("model_versions", "source"),
            ("model_versions", "storage_location"),
            ("logged_models", "artifact_location"),
        ):
            client.execute(f"update {table} set {column} = replace({column}, ?, ?)", (root, str(home)))
    return (file for file in (home / "mlflow").rglob("model.keras"))


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
