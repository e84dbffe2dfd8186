"""Training of the linkage models. It is apart from their use, so that a night's persons do not change because of it."""

import io
import json
import logging

import pyarrow as pa
import pyarrow.parquet as pq

from dags.steps.merge.kinds import PERSON, PRODUCT, Kind
from dags.steps.merge.linkage_model import CURVE, INTERESTS, MODEL, TrainedLinkage, registered_name
from dags.steps.merge.linked_records import account_records, product_records, product_vectors
from dags.steps.night import Night
from infra.platforms.vault import vault_records
from infra.report.facts import LinkedFrom
from infra.settings import Settings
from ml.identity.interests import VECTORS, precision_recall
from ml.identity.linkage import LinkageModel, train

log = logging.getLogger(__name__)


def newest_linked() -> Night:
    """The newest finished night of this installation. Its records are in the warehouse, and training learns from them."""
    settings = Settings()
    return Night(Night.newest(settings), settings=settings)


def train_people(night: Night, promote: bool = False) -> TrainedLinkage:
    """Learn how much each agreement of two accounts tells, and the product vectors of interests.

    Raises:
        VaultError: The vault is closed, and nothing can be learned about names without it.
    """
    people = vault_records(night.lake, night.platforms.values(), night.as_of)
    vectors = product_vectors(night)
    return _train(night, PERSON, account_records(night, people, vectors), vectors, promote)


def train_products(night: Night, promote: bool = False) -> TrainedLinkage:
    """Learn how much each agreement of two items tells."""
    return _train(night, PRODUCT, product_records(night), VECTORS.empty_table(), promote)


def _train(night: Night, kind: Kind, records: pa.Table, vectors: pa.Table, promote: bool) -> TrainedLinkage:
    """Learn match weights from the night's ``records``, and register the version.

    The first version serves at once. A later one is a challenger until somebody promotes it, by ``promote`` or in MLflow.
    """
    settings = night.settings
    model = train(records, kind.spec, settings.seed, settings.duckdb_memory_limit)
    curve = precision_recall(records, model.prior, settings.seed) if vectors.num_rows else None
    version = _register(night, kind, model, records.num_rows, vectors, curve, promote)
    kind.store(night.lake).write_frequencies(version, model.frequencies)
    log.info(f"version {version} of {registered_name(kind)} learned from {records.num_rows:,} records")
    alone = tuple(LinkedFrom.model_validate(point) for point in (curve.to_pylist() if curve is not None else []))
    return TrainedLinkage(str(version), model, vectors, kind.spec, alone)


def _register(
    night: Night,
    kind: Kind,
    model: LinkageModel,
    records: int,
    vectors: pa.Table,
    curve: pa.Table | None,
    promote: bool,
) -> int:
    from infra.mlflow.charts import match_weights, precision_recall_curve
    from infra.mlflow.registry import Registry

    registry = Registry(night.settings, registered_name(kind))
    charts = {"match_weights.png": match_weights(model.settings)}
    if curve is not None:
        charts["interests_alone.png"] = precision_recall_curve(curve)
    buffer = io.BytesIO()
    pq.write_table(vectors, buffer, compression="zstd")
    points = json.dumps(curve.to_pylist() if curve is not None else [])
    version = registry.log_files(
        {MODEL: model.to_json().encode(), INTERESTS: buffer.getvalue(), CURVE: points.encode()},
        charts,
        kind="linkage",
        as_of=night.as_of,
        metrics={"records": records, "prior": model.prior},
        tags={"run_id": night.run_id, "records": str(records)},
    )
    if promote or registry.champion() is None:
        registry.promote(version)
    return version.version
