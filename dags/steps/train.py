"""Step 7: Wide & Deep learns from the labelled snapshots and becomes the challenger."""

import hashlib
import json
import subprocess
from dataclasses import asdict, replace
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import yaml

from dags.steps.history import too_short_history
from dags.steps.night import Night
from infra.registry import LoggedData, Registry
from infra.settings import PROJECT_ROOT
from infra.warehouse import DBT_PROJECT, query
from ml.ranking.features import FeatureSpec
from ml.ranking.training import TrainingParams
from ml.ranking.training import train as train_model

SAMPLE_ROWS = 200


def train(night: Night) -> None:
    """Train on every labelled snapshot but the newest, which is held out, and register the version as challenger.

    Where the same data, code and parameters have been trained before, that version is the challenger again: between
    two snapshots there is nothing new to learn.
    """
    if too_short_history(night):
        night.say("nothing is trained: there is not enough history yet")
        return
    registry = Registry(night.settings)
    spec, params = feature_spec(), params_of(night)
    examples = examples_of(night)
    training, holdout = split(examples)
    digest = digest_of(examples)
    fingerprint = hashlib.sha256(
        "|".join([digest, spec.to_json(), json.dumps(asdict(params), sort_keys=True), code_of("ranking")]).encode()
    ).hexdigest()
    version = registry.find_by_fingerprint(fingerprint)
    if version is not None:
        registry.nominate(version)
        night.say(f"nothing new to learn since version {version.version}")
    else:
        trained = train_model(
            training,
            holdout,
            spec,
            params,
            on_epoch=lambda epoch: night.say(f"epoch {epoch.epoch}: loss {epoch.loss:.4f}"),
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
                "snapshots": ", ".join(sorted({str(day) for day in pc.unique(examples["as_of"]).to_pylist()})),
            },
        )
        night.say(f"version {version.version} learned from {training.num_rows:,} examples")
    night.record("train", {"version": version.version, "run_id": version.run_id, "examples": training.num_rows})


def examples_of(night: Night) -> pa.Table:
    """The training examples of the snapshots this night uses, in a fixed order."""
    return query(
        night.settings,
        """
        select training_examples.*
        from marts.training_examples
        where as_of in (select as_of from marts.snapshots where role != 'scoring')
        order by as_of, person_id, platform, item_id
        """,
    )


def split(examples: pa.Table) -> tuple[pa.Table, pa.Table]:
    """What trains, and the newest labelled snapshot, which is held out."""
    newest = pc.max(examples["as_of"])
    return examples.filter(pc.less(examples["as_of"], newest)), examples.filter(pc.equal(examples["as_of"], newest))


def feature_spec() -> FeatureSpec:
    """The features that the YAML of mart `candidates` declares now."""
    path = DBT_PROJECT / "models" / "marts" / "_candidates__models.yml"
    [model] = [model for model in yaml.safe_load(path.read_text())["models"] if model["name"] == "candidates"]
    crosses = [{**cross, "feature": "cross"} for cross in model["config"]["meta"]["crosses"]]
    columns = [
        {"name": column["name"], "meta": column.get("config", {}).get("meta", {})} for column in model["columns"]
    ]
    return FeatureSpec.from_dbt_columns([*columns, *crosses])


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
    return table.slice(0, SAMPLE_ROWS).drop_columns(["person_id"])


def code_of(package: str) -> str:
    """SHA-256 over one of ml's packages: "ranking" decides a model, "evaluation" what it is found worth."""
    files = sorted((PROJECT_ROOT / "ml" / package).glob("*.py"))
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()


def _commit() -> str:
    try:
        return subprocess.run(
            ["git", "rev-parse", "HEAD"], cwd=Path(PROJECT_ROOT), capture_output=True, text=True, check=True
        ).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"  # installed without git
