"""Gate after step 4: merges and splits that would move too many lists stop the night."""

import hashlib
import json
import logging
from datetime import UTC, datetime

import pyarrow as pa

from dags.steps.merge.link import KINDS, Kind, accepted_key, identity_key
from dags.steps.night import Night
from expectations.gate import GateResult, GateStopped, run_gate
from expectations.identity import frame, suite
from infra.warehouse import connect
from ml.identity.reach import moved_share

log = logging.getLogger(__name__)


def check_identity(night: Night) -> None:
    """Expected precision, cluster sizes, churn of ids, and how far tonight's merges and splits reach.

    What passes becomes the identity that the next night compares itself with.

    Raises:
        GateStopped: names each rule that does not hold, and the evidence of the biggest moves.
    """
    settings = night.settings
    results: list[GateResult] = []
    for kind in KINDS.values():
        found = night.recorded(kind.step)
        changes = read_identity(night, f"{kind.name}_changes")
        accepted = digest(changes) in accepted_changes(night, kind)
        reach = _moved_share(night, kind)
        moved = 0.0 if accepted else reach
        biggest = [
            f"{row['kind']} of {row[f'{kind.record}s']} ({row['evidence']})"
            for row in sorted(changes.to_pylist(), key=lambda row: -len(row[f"{kind.record}s"]))
        ]
        if accepted:
            found = {**found, "changed_id": 0}
        facts = frame(kind.name, found, moved, biggest)
        rules = suite(
            kind.name,
            min_precision=settings.min_link_precision,
            max_churn=settings.max_identity_churn,
            max_moves=settings.max_identity_moves,
            moves=facts["moves"][0].as_py(),
            as_of=night.as_of.isoformat(),
        )
        results.append(run_gate(f"identity_{kind.name}s", rules, facts, as_of=night.as_of))
        night.record(f"gate-identity-{kind.name}", results[-1].model_dump(mode="json"))
        night.record(f"moves_{kind.name}", {"changes": changes.num_rows, "moved_share": reach, "accepted": accepted})
        log.info(f"gate identity, {kind.name}s: {results[-1].verdict}; {changes.num_rows:,} merges and splits")
    if stopped := [result for result in results if result.verdict == "stop"]:
        raise GateStopped(*stopped)
    for kind in KINDS.values():
        found = night.recorded(kind.step)
        passed = {name: found[name] for name in ("model_version", "vault_is_open")}
        night.lake.put(accepted_key(night.as_of.isoformat(), kind), json.dumps(passed).encode())


def read_identity(night: Night, name: str) -> pa.Table:
    return night.read_table(identity_key(night.as_of.isoformat(), name))


def digest(changes: pa.Table) -> str:
    """What a person accepts: exactly these merges and splits."""
    return hashlib.sha256(json.dumps(changes.to_pylist(), sort_keys=True).encode()).hexdigest()


def accepted_changes(night: Night, kind: Kind) -> set[str]:
    """Digests of the changes that people accepted for this night."""
    try:
        return {entry["digest"] for entry in night.read_json(acceptance_key(night, kind))}
    except FileNotFoundError:
        return set()


def accept_changes(night: Night, kind_name: str, who: str, why: str) -> int:
    """Let tonight's merges and splits pass the gate, these and no others; returns how many they are.

    Raises:
        RuntimeError: The night has linked nothing yet.
    """
    kind = KINDS[kind_name]
    try:
        changes = read_identity(night, f"{kind.name}_changes")
    except FileNotFoundError:
        raise RuntimeError(
            f"the night of {night.as_of} has no merges and splits of {kind.name}s to accept. Received: no such file in the "
            "lake. Remedy: run the night first, it stops by itself where there is something to accept."
        ) from None
    key = acceptance_key(night, kind)
    try:
        earlier, etag = night.lake.read(key)
    except FileNotFoundError:
        earlier, etag = b"[]", None
    when = datetime.now(UTC).isoformat(timespec="seconds")
    entry = {"digest": digest(changes), "changes": changes.num_rows, "who": who, "why": why, "when": when}
    night.lake.put_if_match(key, json.dumps([*json.loads(earlier), entry], indent=1).encode(), etag)
    return int(changes.num_rows)


def acceptance_key(night: Night, kind: Kind) -> str:
    return f"identity/as_of={night.as_of}/{kind.name}_accepted_changes.json"


def with_events(night: Night, kind: Kind, records: pa.Table) -> pa.Table:
    """Those of the records (platform, id) that any event names."""
    with connect(night.settings) as warehouse:
        warehouse.register("records", records)
        found: pa.Table = warehouse.execute(
            "from records semi join intermediate.int_identity__eventful_records as eventful"
            " on eventful.record = $record and records.platform = eventful.platform and records.id = eventful.id",
            {"record": kind.record},
        ).to_arrow_table()
        return found


def _moved_share(night: Night, kind: Kind) -> float:
    moved = read_identity(night, f"{kind.name}_moves")
    if not moved.num_rows:
        return 0.0
    current = read_identity(night, kind.ids).rename_columns(["platform", "id", "cluster_id"])
    known = night.recorded(kind.step)["known_before"]
    return moved_share(moved, current, with_events(night, kind, moved), known)
