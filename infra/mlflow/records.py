"""What passes between a step and MLflow."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import pyarrow as pa

from infra.state import StateError


@dataclass(frozen=True)
class ModelVersion:
    """A registered version. `tags` hold its lineage (as_of, fingerprint, ...)."""

    name: str
    version: int
    run_id: str
    tags: Mapping[str, str] = field(default_factory=dict)

    @property
    def uri(self) -> str:
        return f"models:/{self.name}/{self.version}"


@dataclass(frozen=True)
class LoggedData:
    """A table that a model learned from or was measured on.

    `sample` has some of its rows, `source` says where the whole lies, and `digest` is of the whole. `context` is `training`
    or `holdout`.
    """

    name: str
    context: str
    sample: pa.Table
    source: str
    digest: str


@dataclass(frozen=True)
class LoggedTrial:
    """One trial of a hyper-parameter search."""

    params: Mapping[str, object]
    metrics: Mapping[str, float]
    failed: bool


class RegistryError(StateError):
    """MLflow cannot give or take a version. The message says which one, and what to do."""
