"""Training of the linkage models, apart from their use: a night does not move because training did."""

import io
import json
import logging
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.parquet as pq

from dags.steps.night import Night
from infra.mlflow.charts import match_weights, precision_recall_curve
from infra.mlflow.records import ModelVersion
from infra.mlflow.registry import Registry
from infra.warehouse import query
from ml.identity.interests import VECTORS, account_interests, learn_vectors, precision_recall
from ml.identity.linkage import LinkageModel, LinkageSpec, declared, train
from ml.identity.people import PEOPLE

log = logging.getLogger(__name__)

MODEL, INTERESTS, CURVE = "model.json", "interests.parquet", "interests_alone.json"
UNTRAINED = "untrained"


@dataclass(frozen=True)
class TrainedLinkage:
    """A linkage model, the version of it in MLflow, and the product vectors that interests are made of.

    ``interests_alone`` has the rows of :func:`ml.identity.interests.precision_recall`; none where nothing was measured.
    """

    version: str
    model: LinkageModel
    vectors: pa.Table
    spec: LinkageSpec
    interests_alone: list[dict[str, float]]

    @property
    def knows_frequencies(self) -> bool:
        return {*self.spec.term_frequencies} <= {*self.model.frequencies}


def serving_model(night: Night, spec: LinkageSpec) -> TrainedLinkage | None:
    """The champion, or None where none has been trained yet.

    How frequent a name is lies in the vault. Where that is closed, it is unknown.
    """
    registry = _registry(night, spec)
    version = registry.champion()
    if version is None:
        return None
    files = registry.load_linkage(version)
    return TrainedLinkage(
        str(version.version),
        LinkageModel(json.loads(files[MODEL]), _frequencies(night, spec, version)),
        pq.read_table(io.BytesIO(files[INTERESTS])),
        spec,
        json.loads(files.get(CURVE, b"[]")),  # versions of before the curve was kept have none
    )


def _frequencies(night: Night, spec: LinkageSpec, version: ModelVersion) -> dict[str, pa.Table]:
    """How frequent each term is; none where they lie in the vault and that is closed."""
    try:
        return {column: night.read_table(_frequency_key(spec, version, column)) for column in spec.term_frequencies}
    except (OSError, pa.ArrowException):
        if spec is not PEOPLE:
            raise
        return {}


def trained_model(
    night: Night, spec: LinkageSpec, records: pa.Table, vectors: pa.Table, *, promote: bool
) -> TrainedLinkage:
    """Learn match weights from the night's ``records``, and register the version.

    The first version serves at once; a later one is a challenger until ``promote``, here or in MLflow.
    """
    model = train(records, spec, night.settings.seed, night.settings.duckdb_memory_limit)
    charts = {"match_weights.png": match_weights(model.settings)}
    curve: list[dict[str, float]] = []
    if vectors.num_rows:
        measured = precision_recall(records, model.prior, night.settings.seed)
        charts["interests_alone.png"] = precision_recall_curve(measured)
        curve = measured.to_pylist()
    registry = _registry(night, spec)
    buffer = io.BytesIO()
    pq.write_table(vectors, buffer, compression="zstd")
    version = registry.log_linkage(
        {MODEL: model.to_json().encode(), INTERESTS: buffer.getvalue(), CURVE: json.dumps(curve).encode()},
        charts,
        as_of=night.as_of,
        metrics={"records": records.num_rows, "prior": model.prior},
        tags={"run_id": night.run_id, "records": str(records.num_rows)},
    )
    for column, frequencies in model.frequencies.items():
        night.write_table(_frequency_key(spec, version, column), frequencies)
    if promote or registry.champion() is None:
        registry.promote(version)
    log.info(f"version {version.version} of {registry.name} learned from {records.num_rows:,} records")
    return TrainedLinkage(str(version.version), model, vectors, spec, curve)


def untrained_model(spec: LinkageSpec, records: pa.Table) -> TrainedLinkage:
    """What ``spec`` declares, for a night that has to link and may not learn: its vault is closed."""
    return TrainedLinkage(UNTRAINED, declared(records, spec), VECTORS.empty_table(), spec, [])


def product_vectors(night: Night) -> pa.Table:
    """Product vectors of interests, learned from every event up to the night."""
    return learn_vectors(_events(night, "platform || ':' || account_id as account, product_id"), night.settings.seed)


def interests(night: Night, vectors: pa.Table) -> pa.Table:
    """The interests of every account with enough events, by ``vectors``."""
    return account_interests(_events(night, "platform, account_id as id, product_id"), vectors)


def _events(night: Night, columns: str) -> pa.Table:
    products = night.lake.uri(f"identity/as_of={night.as_of}/item_products.parquet")
    return query(
        night.settings,
        f"select distinct {columns} from intermediate.int_events inner join read_parquet($products) using (platform, item_id)",
        {"products": products},
    )


def _registry(night: Night, spec: LinkageSpec) -> Registry:
    return Registry(night.settings, f"crossrec-{spec.name}")


def _frequency_key(spec: LinkageSpec, version: ModelVersion, column: str) -> str:
    zone = "vault" if spec is PEOPLE else "identity"
    return f"{zone}/linkage/{spec.name}/version={version.version}/{column}.parquet"
