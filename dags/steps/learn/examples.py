"""What the ranker learns from: the declared features, the declared objectives and the labelled examples."""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import yaml

from dags.steps.night import Night
from infra.warehouse import DBT_PROJECT, query, query_with_sequences
from ml.ranking.network.features import FeatureSpec
from ml.ranking.network.objectives import POSITIVE, Objective

log = logging.getLogger(__name__)


def feature_spec() -> FeatureSpec:
    """The features that the YAML files of marts `candidates` and `person_sequences` declare now."""
    marts = DBT_PROJECT / "models" / "marts"
    candidates = _declared(marts / "candidates" / "candidates.yml")
    sequences = _declared(marts / "features" / "person_sequences.yml")
    columns = [
        {"name": column["name"], "meta": column.get("config", {}).get("meta", {})}
        for column in [*candidates["columns"], *sequences["columns"]]
    ]
    crosses = [{**cross, "feature": "cross"} for cross in candidates["config"]["meta"]["crosses"]]
    return FeatureSpec.from_dbt_columns([*columns, *crosses])


def _declared(path: Path) -> dict[str, Any]:
    """The one model that a dbt YAML file describes."""
    model: dict[str, Any] = yaml.safe_load(path.read_text())["models"][0]
    return model


def examples_of(night: Night) -> pa.Table:
    """The labelled examples of this night's snapshots in a fixed order, with a label for every objective that has a weight."""
    others = [Objective(name, weight) for name, weight in weighted_objectives(night).items() if name != POSITIVE]
    labels = [
        f'cast(weight_by_objective[$objective_{number}] is not null as integer) as "{objective.label}", '
        f'coalesce(weight_by_objective[$objective_{number}], 1) as "{objective.label_weight}"'
        for number, objective in enumerate(others)
    ]
    columns = ", ".join(["sequences.* exclude (as_of, person_id, platform)", "training_examples.*", *labels])
    joined = "marts.training_examples left join sequences using (as_of, person_id, platform)"
    if others:
        joined += " left join marts.objective_weights using (as_of, person_id, platform, product_id)"
    labelled = "as_of in (select as_of from marts.snapshots where role != 'scoring')"
    return query_with_sequences(
        night.settings,
        f"select {columns} from {joined} where {labelled} order by as_of, person_id, platform, item_id",
        {f"objective_{number}": objective.name for number, objective in enumerate(others)},
    )


def weighted_objectives(night: Night) -> dict[str, float]:
    """The weight of each declared objective whose weight is above 0, objective `positive` first."""
    declared = query(
        night.settings,
        "select objective, weight from seeds.objectives where weight > 0 order by objective != $positive, objective",
        {"positive": POSITIVE},
    )
    return {row["objective"]: row["weight"] for row in declared.to_pylist()}


def objectives_of(night: Night, training: pa.Table) -> dict[str, float]:
    """The weight of each objective that the examples teach. An objective without a positive example is left out and logged."""
    weights = weighted_objectives(night)
    for name in _without_positives(weights, training):
        log.warning(
            f"objective {name} weighs {weights[name]:g} in objectives.csv, but no training example of any "
            "platform is positive for it: lists are ranked without it. Check whether its event types in event_types.csv are those "
            "that platforms send"
        )
        del weights[name]
    return weights


def _without_positives(weights: Mapping[str, float], training: pa.Table) -> list[str]:
    """The objectives, other than `positive`, for which no example is positive."""
    others = [Objective(name, weight) for name, weight in weights.items() if name != POSITIVE]
    return [
        objective.name
        for objective in others
        if not pc.sum(pc.multiply(training[objective.label], training[objective.label_weight])).as_py()
    ]


def split(examples: pa.Table) -> tuple[pa.Table, pa.Table]:
    """The examples that train, and those of the newest labelled snapshot, which is held out."""
    newest = pc.max(examples["as_of"])
    return examples.filter(pc.less(examples["as_of"], newest)), examples.filter(pc.equal(examples["as_of"], newest))
