"""Step 7: Wide & Deep learns from the labelled snapshots and becomes the challenger."""

import json
import logging
import subprocess
from dataclasses import asdict, replace
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from dags.steps.learn.examples import examples_of, feature_spec, objectives_of, split
from dags.steps.learn.fingerprints import code_of, digest_of, fingerprint_of
from dags.steps.learn.history import too_short_history
from dags.steps.night import Night
from dags.steps.records import Trained
from infra.mlflow.records import LoggedData, ModelVersion
from infra.mlflow.registry import Registry
from infra.settings import PROJECT_ROOT
from ml.ranking.network.features import FeatureSpec
from ml.ranking.training import TrainingParams
from ml.ranking.training import train as train_model

log = logging.getLogger(__name__)

SAMPLE_ROWS = 200


def train(night: Night) -> None:
    """Train on every labelled snapshot but the newest, which is held out, and register the version as challenger.

    Where the same data, code and parameters have been trained before, that version is the challenger again: between
    two snapshots there is nothing new to learn.
    """
    if too_short_history(night):
        log.info("nothing is trained: there is not enough history yet")
        return
    registry, spec, examples = Registry(night.settings), feature_spec(), examples_of(night)
    training, holdout = split(examples)
    params = replace(params_of(night), objectives=objectives_of(night, training))
    digest = digest_of(examples)
    fingerprint = fingerprint_of(digest, spec.to_json(), json.dumps(asdict(params), sort_keys=True), code_of("ranking"))
    version = registry.find_by_fingerprint(fingerprint)
    if version is not None:
        registry.nominate(version)
        log.info(f"nothing new to learn since version {version.version}")
    else:
        version = _train_version(night, spec, params, training, holdout, digest, fingerprint)
        log.info(f"version {version.version} learned from {training.num_rows:,} examples")
    night.write(Trained(version=version.version, run_id=version.run_id, examples=training.num_rows))


def _train_version(
    night: Night,
    spec: FeatureSpec,
    params: TrainingParams,
    training: pa.Table,
    holdout: pa.Table,
    digest: str,
    fingerprint: str,
) -> ModelVersion:
    """Train, and log the model with its lineage."""
    trained = train_model(
        training,
        holdout,
        spec,
        params,
        on_epoch=lambda epoch: log.info(f"epoch {epoch.epoch}: loss {epoch.loss:.4f}"),
    )
    days = {str(day) for table in (training, holdout) for day in pc.unique(table["as_of"]).to_pylist()}
    return Registry(night.settings).log_training(
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
            "snapshots": ", ".join(sorted(days)),
        },
    )


def params_of(night: Night) -> TrainingParams:
    """The hyper-parameters of the settings; those that a search chose replace the defaults."""
    settings = night.settings
    params = TrainingParams(epochs=settings.epochs, seed=settings.seed, loss=settings.loss)
    tuned = settings.training_params
    return replace(params, **tuned.model_dump(exclude_none=True)) if tuned else params


def _sample(table: pa.Table) -> pa.Table:
    """A few rows without persons, with text in the place of dictionaries."""
    sample = table.slice(0, SAMPLE_ROWS).drop_columns(["person_id"])
    spelled_out = [
        field.with_type(pa.string()) if pa.types.is_dictionary(field.type) else field for field in sample.schema
    ]
    return sample.cast(pa.schema(spelled_out))


def _commit() -> str:
    try:
        return subprocess.run(
            ["git", "rev-parse", "HEAD"], cwd=Path(PROJECT_ROOT), capture_output=True, text=True, check=True
        ).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"  # installed without git
