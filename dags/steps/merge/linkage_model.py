"""The linkage model in use: its weights from MLflow, how frequent each term was from the lake."""

import io
import json
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.parquet as pq

from dags.steps.merge.kinds import Kind
from dags.steps.night import Night
from infra.report.facts import LinkedFrom
from ml.identity.interests import VECTORS
from ml.identity.linkage import LinkageModel, LinkageSpec, declared

MODEL, INTERESTS, CURVE = "model.json", "interests.parquet", "interests_alone.json"
UNTRAINED = "untrained"


@dataclass(frozen=True)
class TrainedLinkage:
    """A linkage model, the version of it in MLflow, and the product vectors that interests are made of.

    ``interests_alone`` is empty where nothing was measured.
    """

    version: str
    model: LinkageModel
    vectors: pa.Table
    spec: LinkageSpec
    interests_alone: tuple[LinkedFrom, ...] = ()

    @property
    def knows_frequencies(self) -> bool:
        return {*self.spec.term_frequencies} <= {*self.model.frequencies}


def serving_model(night: Night, kind: Kind) -> TrainedLinkage | None:
    """The champion, or None where none has been trained yet."""
    from infra.mlflow.registry import Registry

    registry = Registry(night.settings, registered_name(kind))
    version = registry.champion()
    if version is None:
        return None
    files = registry.load_files(version, "linkage")
    frequencies = kind.store(night.lake).frequencies(version.version, [*kind.spec.term_frequencies])
    return TrainedLinkage(
        str(version.version),
        LinkageModel(json.loads(files[MODEL]), frequencies),
        pq.read_table(io.BytesIO(files[INTERESTS])),
        kind.spec,
        tuple(LinkedFrom.model_validate(point) for point in json.loads(files.get(CURVE, b"[]"))),
    )


def untrained_model(kind: Kind, records: pa.Table) -> TrainedLinkage:
    """The weights that the code declares, for a night that must link and cannot learn because its vault is closed."""
    return TrainedLinkage(UNTRAINED, declared(records, kind.spec), VECTORS.empty_table(), kind.spec)


def registered_name(kind: Kind) -> str:
    """Name of the linkage model in MLflow."""
    return f"crossrec-{kind.spec.name}"
