"""Gate after step 4: merges and splits that would move too many lists stop the night."""

import hashlib
import json
import logging

import pyarrow as pa

from dags.steps.merge.kinds import KINDS, Kind
from dags.steps.merge.with_events import with_events
from dags.steps.night import Night
from dags.steps.records import Linked, MovedShare
from expectations.gate import GateResult, GateStopped, run_gate
from expectations.identity import frame, suite
from infra.identity_store import PassedIdentity
from ml.identity.reach import moved_share

log = logging.getLogger(__name__)


def check_identity(night: Night) -> None:
    """Check the expected precision, the sizes of clusters, the churn of ids, and how far merges and splits reach.

    The next night compares itself with the identity that passes.

    Raises:
        GateStopped: names each rule that does not hold, and the evidence of the biggest moves.
    """
    results = [_check(night, kind) for kind in KINDS.values()]
    if stopped := [result for result in results if result.verdict == "stop"]:
        raise GateStopped(*stopped)
    for kind in KINDS.values():
        linked = night.read(Linked, kind.name)
        passed = PassedIdentity(model_version=linked.model_version, vault_is_open=linked.vault_is_open)
        kind.store(night.lake).let_pass(night.as_of, passed)


def _check(night: Night, kind: Kind) -> GateResult:
    settings, store, linked = night.settings, kind.store(night.lake), night.read(Linked, kind.name)
    changes = store.read(night.as_of, f"{kind.name}_changes")
    accepted = digest(changes) in store.accepted_digests(night.as_of)
    share = _moved_share(night, kind, linked.known_before)
    facts = frame(
        kind.name,
        clusters=linked.clusters,
        at_size_cap=linked.at_size_cap,
        expected_precision=linked.expected_precision,
        known_before=linked.known_before,
        changed_id=0 if accepted else linked.changed_id,
        moved_share=0.0 if accepted else share,
        biggest_moves=_biggest_moves(changes, kind),
    )
    rules = suite(
        kind.name,
        min_precision=settings.min_link_precision,
        max_churn=settings.max_identity_churn,
        max_moves=settings.max_identity_moves,
        moves=facts["moves"][0].as_py(),
        as_of=night.as_of.isoformat(),
    )
    result = run_gate(f"identity_{kind.name}s", rules, facts, as_of=night.as_of)
    night.write(result, result.key)
    night.write(MovedShare(changes=changes.num_rows, moved_share=share, accepted=accepted), kind.name)
    log.info(f"gate identity, {kind.name}s: {result.verdict}; {changes.num_rows:,} merges and splits")
    return result


def _biggest_moves(changes: pa.Table, kind: Kind) -> list[str]:
    """Each merge or split with its evidence; the longest list of records comes first."""
    column = f"{kind.record}s"
    rows = sorted(changes.to_pylist(), key=lambda row: -len(row[column]))
    return [f"{row['kind']} of {row[column]} ({row['evidence']})" for row in rows]


def digest(changes: pa.Table) -> str:
    """SHA-256 of exactly these merges and splits: what a person accepts."""
    return hashlib.sha256(json.dumps(changes.to_pylist(), sort_keys=True).encode()).hexdigest()


def _moved_share(night: Night, kind: Kind, known: int) -> float:
    store = kind.store(night.lake)
    moved = store.read(night.as_of, f"{kind.name}_moves")
    if not moved.num_rows:
        return 0.0
    return moved_share(moved, store.ids(night.as_of), with_events(night, kind, moved), known)
