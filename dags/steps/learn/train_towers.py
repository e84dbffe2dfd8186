"""Step 5: two towers learn vectors of persons and products, by snapshot."""

import io
import logging

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from dags.steps.dbt import build
from dags.steps.learn.build_marts import TOWERS, options_of
from dags.steps.learn.fingerprints import digest_of, fingerprint_of
from dags.steps.night import Night
from dags.steps.records import BuildPlan, TrainedTowers
from infra.warehouse import query

log = logging.getLogger(__name__)

NAME = "crossrec-towers"
FILE = "towers.parquet"
# persons' vectors are made of all else
OF_TONIGHT = (
    "select kind, id, vector from marts.tower_vectors where as_of = $as_of and kind != 'person' order by kind, id"
)


def train_towers(night: Night) -> None:
    """Train the towers of each snapshot that has none, and of tonight's, with the night's seed; register tonight's.

    The same interactions and seed give the same towers, whose version is then registered already.
    """
    build(night, TOWERS, "--indirect-selection", "cautious", *options_of(night.read(BuildPlan)))
    towers = query(night.settings, OF_TONIGHT, {"as_of": night.as_of})
    version = _registered(night, towers) if towers.num_rows else None
    night.write(TrainedTowers(version=version))
    log.info(f"version {version} of {NAME} knows {_products(towers):,} products" if version else "no towers tonight")


def _registered(night: Night, towers: pa.Table) -> int:
    """The version of these towers, and champion: what serves tonight is what learned tonight."""
    from infra.mlflow.registry import Registry

    registry = Registry(night.settings, NAME)
    fingerprint = fingerprint_of(digest_of(towers.drop_columns(["vector"])), digest_of(_entries(towers)))
    version = registry.find_by_fingerprint(fingerprint)
    if version is None:
        buffer = io.BytesIO()
        pq.write_table(towers, buffer, compression="zstd")
        version = registry.log_files(
            {FILE: buffer.getvalue()},
            {},
            kind="towers",
            as_of=night.as_of,
            metrics={"products": _products(towers)},
            tags={"run_id": night.run_id, "fingerprint": fingerprint, "seed": str(night.settings.seed)},
        )
    registry.promote(version)
    return version.version


def _entries(towers: pa.Table) -> pa.Table:
    return pa.table({"entry": towers["vector"].combine_chunks().flatten()})


def _products(towers: pa.Table) -> int:
    return int(pc.sum(pc.equal(towers["kind"], "product")).as_py() or 0)
