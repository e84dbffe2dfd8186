"""Steps 3 and 5: dbt builds the warehouse, before and after linkage."""

import hashlib
import json
import logging
from typing import Any

from dags.steps.learn.train import feature_spec
from dags.steps.merge.check_identity import with_events
from dags.steps.merge.link import KINDS, Kind, identity_key
from dags.steps.night import Night
from infra.warehouse import query, run_dbt
from ml.identity.ids import moves

log = logging.getLogger(__name__)

BUILT_WITH = "identity/marts_built_with.json"


def build_prepared(night: Night) -> None:
    """Staging and intermediate models, with their tests."""
    _build(night, "tag:prepare")


def build_marts(night: Night) -> None:
    """Marts, with their tests.

    All cuts are built again for a new feature, and where identity gave anybody another history or other platforms than before
    declare that their items are taken again.
    """
    anew = _new_features(night) or _moved(night)
    _build(night, "tag:marts", *(["--full-refresh"] if anew else []))
    # only now: a build that was killed halfway is done anew by the next one
    night.lake.put(BUILT_WITH, json.dumps(_made_of(night)).encode())


def build_candidates_anew(night: Night) -> None:
    """Candidates of all cuts, what is read in order beside them, and what is made of both."""
    _build(night, "candidate_sources+ person_sequences", "--full-refresh")


def _moved(night: Night) -> bool:
    """Whether records with events are in another company than when the marts were last built to their end, or other platforms
    declare that their items are taken again.

    Earlier cuts hold what people did; a merge or a split changes that for the past too, as if it had always been so.
    """
    try:
        built = night.read_json(BUILT_WITH)
    except FileNotFoundError:
        return True
    tonight = _made_of(night)
    if tonight["repeat_consumption"] != built.get("repeat_consumption", []):
        log.info("other platforms than before declare that their items are taken again; all cuts are built again")
        return True
    lost = any(sha256_of(night, built["as_of"], kind) != built[kind.name] for kind in KINDS.values())
    if lost and tonight["as_of"] != built["as_of"]:
        return True
    moved = [kind.name for kind in KINDS.values() if tonight[kind.name] != built[kind.name]]
    if lost or any(_reaches_back(night, KINDS[name], built["as_of"]) for name in moved):
        log.info("merges or splits changed the history of some; all cuts are built again")
        return True
    return False


def _made_of(night: Night) -> dict[str, Any]:
    """The night's identity, by what tells it from any other, and the platforms whose items are taken again."""
    as_of = night.as_of.isoformat()
    repeating = [name for name, platform in night.platforms.items() if platform.repeat_consumption]
    identity = {kind.name: sha256_of(night, as_of, kind) for kind in KINDS.values()}
    return {"as_of": as_of, "repeat_consumption": repeating, **identity}


def sha256_of(night: Night, as_of: str, kind: Kind) -> str:
    try:
        return hashlib.sha256(night.lake.read(identity_key(as_of, kind.ids))[0]).hexdigest()
    except FileNotFoundError:
        return ""


def _reaches_back(night: Night, kind: Kind, built_as_of: str) -> bool:
    tonight, built = (
        night.read_table(identity_key(as_of, kind.ids)).rename_columns(["platform", "id", "cluster_id"])
        for as_of in (night.as_of.isoformat(), built_as_of)
    )
    moved = moves(tonight, built)
    return moved.num_rows > 0 and with_events(night, kind, moved).num_rows > 0


def _new_features(night: Night) -> list[str]:
    """Declared feature columns that the candidates of earlier nights were built without."""
    if not night.settings.warehouse_path.exists():
        return []
    present = query(
        night.settings,
        "select column_name from information_schema.columns"
        " where table_schema = 'marts' and table_name in ('candidates', 'person_sequences')",
    )["column_name"].to_pylist()
    new = sorted(set(feature_spec().columns) - set(present)) if present else []
    if new:
        log.info(f"new features: {', '.join(new)}; all cuts are built again")
    return new


def _build(night: Night, select: str, *options: str) -> None:
    run_dbt(
        night.settings,
        ["build", "--select", select, "--exclude", "test_type:unit", "--fail-fast", *options],
        night.as_of,
        on_node=lambda name, number, total: log.debug(f"dbt {number}/{total} {name}"),
    )
