"""Step 7: Wide & Deep learns from the labelled snapshots and becomes the challenger."""

import hashlib
import json
import logging
import subprocess
from collections.abc import Mapping
from dataclasses import asdict, replace
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import yaml

from dags.steps.learn.history import too_short_history
from dags.steps.night import Night
from infra.mlflow.registry import LoggedData, ModelVersion, Registry
from infra.settings import PROJECT_ROOT
from infra.warehouse import DBT_PROJECT, query, query_with_sequences
from ml.ranking.network.features import FeatureSpec
from ml.ranking.network.objectives import POSITIVE, Objective
from ml.ranking.training import TrainedModel, TrainingParams
from ml.ranking.training import train as train_model

log = logging.getLogger(__name__)

SAMPLE_ROWS = 200
PARENT, LEARNED_UNTIL = "parent", "learned_until"  # tags of a version


def train(night: Night) -> None:
    """Train on every labelled snapshot but the newest, which is held out, and register the version as challenger.

    Where the same data, code and parameters have been trained before, that version is the challenger again: between
    two snapshots there is nothing new to learn. With `CROSSREC_WARM_START` training begins with the weights of `parent_of`
    and passes once over the snapshots that this one has not learned from: to teach old weeks again made models worse. Where
    these lack an objective that the others teach, training begins anew with all, for the version would be without it.

    Raises:
        RegistryError: the version to start from cannot be loaded.
    """
    if too_short_history(night):
        log.info("nothing is trained: there is not enough history yet")
        return
    registry = Registry(night.settings)
    spec, params = feature_spec(), params_of(night)
    examples = examples_of(night)
    training, holdout = split(examples)
    params = replace(params, objectives=objectives_of(night, training))
    learned_until = str(pc.max(training["as_of"]))
    parent = parent_of(registry, learned_until) if night.settings.warm_start else None
    if parent:
        new = pc.field("as_of") > date.fromisoformat(parent.tags[LEARNED_UNTIL])
        if unmet := unmet_objectives(params.objectives, training.filter(new)):
            log.info(
                f"training does not begin with version {parent.version}: no example that it has not learned from is positive for "
                f"{', '.join(unmet)}, and older ones are"
            )
            parent = None
        else:
            examples, training, params = examples.filter(new), training.filter(new), replace(params, epochs=1)
    digest = digest_of(examples)
    parts = [digest, spec.to_json(), json.dumps(asdict(params), sort_keys=True), code_of("ranking")]
    parts += [parent.tags["fingerprint"]] if parent else []
    fingerprint = hashlib.sha256("|".join(parts).encode()).hexdigest()
    version = registry.find_by_fingerprint(fingerprint)
    if version is not None:
        registry.nominate(version)
        log.info(f"nothing new to learn since version {version.version}")
    else:
        trained = train_model(
            training,
            holdout,
            spec,
            params,
            on_epoch=lambda epoch: log.info(f"epoch {epoch.epoch}: loss {epoch.loss:.4f}"),
            parent=registry.load(parent)[0] if parent else None,
        )
        version = registry.log_training(
            trained.model,
            spec.to_json(),
            as_of=night.as_of,
            fingerprint=fingerprint,
            params=asdict(params) | {"examples": training.num_rows, "held_out_examples": holdout.num_rows},
            history=[asdict(epoch) for epoch in trained.history],
            datasets=[
                LoggedData(name, context, _sample(table), "marts.training_examples", digest[:36])
                for name, context, table in (("training", "training", training), ("held_out", "holdout", holdout))
            ],
            tags={
                "run_id": night.run_id,
                "code_commit": _commit(),
                "identity_snapshot": f"identity/as_of={night.as_of}",
                "objectives": ", ".join(f"{name} {weight:g}" for name, weight in params.objectives.items()),
                PARENT: str(parent.version) if parent else "none",
                LEARNED_UNTIL: learned_until,
                "snapshots": ", ".join(sorted({str(day) for day in pc.unique(examples["as_of"]).to_pylist()})),
            },
        )
        log.info(f"version {version.version} learned from {training.num_rows:,} examples, {_began(parent, trained)}")
    night.record("train", {"version": version.version, "run_id": version.run_id, "examples": training.num_rows})


def parent_of(registry: Registry, learned_until: str) -> ModelVersion | None:
    """The champion, or the nearest of its ancestors that learned from no week as new as `learned_until`.

    So a night that runs again starts from where it started, though its own version is champion by now, and no version
    knows the week that it is judged by from a parent that learned from it.
    """
    version = registry.champion()
    while version is not None and version.tags.get(LEARNED_UNTIL, learned_until) >= learned_until:
        parent = version.tags.get(PARENT, "none")
        version = registry.version(int(parent)) if parent != "none" else None
    return version


def _began(parent: ModelVersion | None, trained: TrainedModel) -> str:
    """With which weights a training began, in words."""
    taken = trained.taken_over
    if parent is None or taken is None:
        return "with weights drawn at random"
    kept = f"{taken.values:,} values, {len(taken.features)} features in the dense layers, {len(taken.crosses)} crosses"
    return f"with the weights of version {parent.version} for {kept}; new are {taken.new_values:,} values" + (
        f" and {', '.join(taken.new_features)}" if taken.new_features else ""
    )


def examples_of(night: Night) -> pa.Table:
    """The training examples of the snapshots this night uses, in a fixed order, with labels for every objective that weighs."""
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
    """The weight of each declared objective that ranks, take first."""
    declared = query(
        night.settings,
        "select objective, weight from seeds.objectives where weight > 0 order by objective != $positive, objective",
        {"positive": POSITIVE},
    )
    return {row["objective"]: row["weight"] for row in declared.to_pylist()}


def objectives_of(night: Night, training: pa.Table) -> dict[str, float]:
    """The weight of each objective that the examples teach; one that nobody ever met is left out, and the night says so."""
    weights = weighted_objectives(night)
    for name in unmet_objectives(weights, training):
        log.warning(
            f"objective {name} weighs {weights[name]:g} in objectives.csv, but no training example of any "
            "platform is positive for it: lists are ranked without it. See whether its event types in event_types.csv are those "
            "that platforms send"
        )
        del weights[name]
    return weights


def unmet_objectives(weights: Mapping[str, float], training: pa.Table) -> list[str]:
    """Those for which no example is positive, but for take."""
    others = [Objective(name, weight) for name, weight in weights.items() if name != POSITIVE]
    return [
        objective.name
        for objective in others
        if not pc.sum(pc.multiply(training[objective.label], training[objective.label_weight])).as_py()
    ]


def split(examples: pa.Table) -> tuple[pa.Table, pa.Table]:
    """What trains, and the newest labelled snapshot, which is held out."""
    newest = pc.max(examples["as_of"])
    return examples.filter(pc.less(examples["as_of"], newest)), examples.filter(pc.equal(examples["as_of"], newest))


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


def params_of(night: Night) -> TrainingParams:
    settings = night.settings
    params = TrainingParams(epochs=settings.epochs, seed=settings.seed, loss=settings.loss)
    tuned = settings.training_params
    return replace(params, **tuned.model_dump(exclude_none=True)) if tuned else params


def digest_of(table: pa.Table) -> str:
    """SHA-256 over a table's values, column by column."""
    import pandas as pd

    digest = hashlib.sha256()
    for name in table.column_names:
        digest.update(name.encode())
        digest.update(pd.util.hash_pandas_object(table[name].to_pandas(), index=False).to_numpy().tobytes())
    return digest.hexdigest()


def _sample(table: pa.Table) -> pa.Table:
    sample = table.slice(0, SAMPLE_ROWS).drop_columns(["person_id"])
    spelled_out = [
        field.with_type(pa.string()) if pa.types.is_dictionary(field.type) else field for field in sample.schema
    ]
    return sample.cast(pa.schema(spelled_out))


def code_of(*packages: str) -> str:
    """SHA-256 over some of ml's packages: "ranking" decides a model, "evaluation" what it is found worth."""
    files = [file for package in packages for file in sorted((PROJECT_ROOT / "ml" / package).glob("*.py"))]
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()


def _commit() -> str:
    try:
        return subprocess.run(
            ["git", "rev-parse", "HEAD"], cwd=Path(PROJECT_ROOT), capture_output=True, text=True, check=True
        ).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"  # installed without git
