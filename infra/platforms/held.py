"""Held loads: what a platform sent on a night and no night uses, until a person decides or the source sends it anew.

The unit is everything that one platform sent for one night: rows of one table without those of another would mix two states of
the platform. A held load lies beside the raw zone, where dbt does not look:

    held/platform=shop/load_date=2000-12-14/held.json            what it is, why it is held, and where its bytes belong
    held/platform=shop/load_date=2000-12-14/table=orders/...     what was in raw/
    vault/held/platform=shop/load_date=2000-12-14/table=...      what was in vault/, which stays in the vault
    gone/held/platform=shop/load_date=2000-12-14/table=...       what was in gone/: the keys that tables of present states lost
    held/decisions/...json                                       what people decided, an object each, never written again

Bytes move only after ``held.json`` says where to. `settle` finishes a move that was killed, so it may be called at any time. A
person's decision is written down and nothing else. The next run of the platform's task follows it, at a point where no
other task reads the loads.
"""

import hashlib
import json
from collections.abc import Iterable
from datetime import UTC, date, datetime
from typing import Literal, TypeVar

from pydantic import BaseModel, ConfigDict

from infra.lake import Lake
from infra.platforms.declaration import Platform
from infra.platforms.manifest import MANIFEST, Manifest, manifests, read_manifest
from infra.state import StateError, damage_named

ZONES = {"raw": "held", "vault": "vault/held", "gone": "gone/held"}
RECORD = "held.json"
DECISIONS = "held/decisions/"

Decision = Literal["accept", "discard"]


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


AnyRecord = TypeVar("AnyRecord", bound=_Record)


class HeldTable(_Record):
    """One table of a held load. Both bounds are None for a table that is loaded whole."""

    table: str
    rows: int
    watermark_from: datetime | None
    watermark_to: datetime | None


class HeldLoad(_Record):
    """What one platform sent for one night, and why it is held.

    `lies_in` says where its bytes belong: aside, back in the raw zone (a person accepted it), or nowhere (discarded).
    """

    platform: str
    as_of: date
    digest: str
    reasons: tuple[str, ...]
    held_at: datetime
    is_whole: bool  # every declared table is there
    tables: tuple[HeldTable, ...]
    keys: tuple[str, ...]  # in the raw zone and the vault, where they were
    lies_in: Literal["held", "raw", "nowhere"] = "held"
    is_moving: bool = False


class HeldRecordError(StateError):
    """A record of a held load, or of a decision about one, cannot be read."""


class LoadDecision(_Record):
    """What a person decided about exactly one load, the one with this digest."""

    platform: str
    as_of: date
    digest: str
    decision: Decision
    who: str
    why: str
    when: datetime


def load_digest(lake: Lake, platform: Platform, as_of: date) -> str | None:
    """SHA-256 of what the platform's load of a night holds, by its manifests; None where nothing of it is in the raw zone."""
    found = _manifests(lake, _keys(lake, platform, as_of))
    return _digest(found) if found else None


def hold_load(lake: Lake, platform: Platform, as_of: date, reasons: Iterable[str]) -> HeldLoad | None:
    """Put the platform's load of a night aside; None where there is nothing of it. An earlier one of that night is replaced."""
    keys = _keys(lake, platform, as_of)
    if not keys:
        return None
    found = _manifests(lake, keys)
    tables = [manifest for key, manifest in found.items() if key.startswith("raw/")]
    load = HeldLoad(
        platform=platform.name,
        as_of=as_of,
        digest=_digest(found),
        reasons=tuple(reasons),
        held_at=datetime.now(UTC).replace(microsecond=0),
        is_whole={manifest.table for manifest in tables} == {table.name for table in platform.tables},
        tables=tuple(
            HeldTable(
                table=manifest.table,
                rows=manifest.rows,
                watermark_from=manifest.watermark_from,
                watermark_to=manifest.watermark_to,
            )
            for manifest in tables
        ),
        keys=tuple(keys),
    )
    return _move(lake, load)


def settle(lake: Lake, platform: str) -> None:
    """Finish what a killed run began, and put the loads that people accepted back into the raw zone.

    An accepted load stays aside where a later load has brought everything that it holds.
    """
    accepted = accepted_digests(lake)
    for load in held_loads(lake, platform):
        if load.is_moving:
            _move(lake, load)
        elif load.lies_in == "held" and load.digest in accepted and not brought_by(lake, load):
            _move(lake, load.model_copy(update={"lies_in": "raw"}))


def discard_bytes(lake: Lake, load: HeldLoad) -> None:
    """Delete what a held load holds, and keep its record."""
    _move(lake, load.model_copy(update={"lies_in": "nowhere"}))


def held_loads(lake: Lake, platform: str = "") -> list[HeldLoad]:
    """Every load that was held and not sent anew as good, the oldest night first; of all platforms where none is named."""
    prefix = f"held/platform={platform}/" if platform else "held/platform="
    found = [_parsed(lake, key, HeldLoad) for key in lake.list(prefix) if key.endswith(f"/{RECORD}")]
    return sorted(found, key=lambda load: (load.as_of, load.platform))


def held_load(lake: Lake, platform: str, as_of: date) -> HeldLoad | None:
    """The load of this platform and night that was held, wherever it lies now."""
    return next((load for load in held_loads(lake, platform) if load.as_of == as_of), None)


def brought_by(lake: Lake, load: HeldLoad) -> date | None:
    """The night by whose load everything that this one holds had come into the raw zone; None where something is missing."""
    nights = []
    for held in load.tables:
        later = [other for other in manifests(lake, load.platform, held.table) if other.as_of >= load.as_of]
        covering = [other.as_of for other in later if _covers(other, held)]
        if not covering:
            return None
        nights.append(min(covering))
    return max(nights, default=None)


def _covers(other: Manifest, held: HeldTable) -> bool:
    if held.watermark_to is None:  # each load of the table brings all that the good loads before it lack
        return True
    since = other.watermark_from is None or (held.watermark_from and other.watermark_from <= held.watermark_from)
    return bool(since and other.watermark_to and other.watermark_to >= held.watermark_to)


# --- what people decided


def write_decision(lake: Lake, decision: LoadDecision) -> None:
    """Add a decision to the log.

    Raises:
        ConditionFailed: Somebody decided about the same load at the same moment; try again.
    """
    key = f"{DECISIONS}{decision.when:%Y%m%dT%H%M%S.%f}-{decision.platform}-{decision.as_of}.json"
    lake.put_if_match(key, decision.model_dump_json(indent=1).encode(), None)


def load_decisions(lake: Lake) -> list[LoadDecision]:
    """Every decision, the oldest first."""
    return [_parsed(lake, key, LoadDecision) for key in lake.list(DECISIONS)]


def accepted_digests(lake: Lake) -> set[str]:
    """Digests of the loads about which the newest decision is to accept them."""
    newest = {decision.digest: decision.decision for decision in load_decisions(lake)}
    return {digest for digest, decision in newest.items() if decision == "accept"}


def _parsed(lake: Lake, key: str, kind: type[AnyRecord]) -> AnyRecord:
    lost = "put it back from a backup, or delete it: what it says is lost then, and the source sends a held load anew"
    with damage_named(lake.uri(key), lost, HeldRecordError):
        return kind.model_validate_json(lake.read(key)[0])


# --- where the bytes lie


def _keys(lake: Lake, platform: Platform, as_of: date) -> list[str]:
    """Keys of all that the night has of the platform, manifests first: without its manifest a load is no load."""
    folders = [
        f"{zone}/platform={platform.name}/table={table.name}/load_date={as_of}/"
        for zone in ZONES
        for table in platform.tables
    ]
    keys = [key for folder in folders for key in lake.list(folder)]
    return sorted(keys, key=lambda key: (not key.endswith(MANIFEST), key))


def _manifests(lake: Lake, keys: list[str]) -> dict[str, Manifest]:
    return {key: read_manifest(lake, key) for key in keys if key.endswith(f"/{MANIFEST}")}


def _digest(found: dict[str, Manifest]) -> str:
    content = [[key, load.schema_fingerprint, *(file.sha256 for file in load.files)] for key, load in found.items()]
    return hashlib.sha256(json.dumps(sorted(content)).encode()).hexdigest()


def _folder(load: HeldLoad, zone: str) -> str:
    return f"{ZONES[zone]}/platform={load.platform}/load_date={load.as_of}"


def _aside(load: HeldLoad, key: str) -> str:
    zone, _, table, _, file = key.split("/")
    return f"{_folder(load, zone)}/{table}/{file}"


def _move(lake: Lake, load: HeldLoad) -> HeldLoad:
    """Move the bytes to where the load says that they belong. The record says so before, and that it is done afterwards."""
    record = f"{_folder(load, 'raw')}/{RECORD}"
    lake.put(record, load.model_copy(update={"is_moving": True}).model_dump_json(indent=1).encode())
    if load.lies_in == "held":
        for key in load.keys:
            _move_if_there(lake, key, _aside(load, key))
    if load.lies_in == "raw":
        for key in reversed(load.keys):  # manifests last: nobody takes half of it for a load
            _move_if_there(lake, _aside(load, key), key)
    kept = {record} | ({_aside(load, key) for key in load.keys} if load.lies_in == "held" else set())
    for zone in ZONES:
        for key in [*lake.list(f"{_folder(load, zone)}/")]:
            if key not in kept:  # of an earlier load of that night, or discarded
                lake.delete(key)
    done = load.model_copy(update={"is_moving": False})
    lake.put(record, done.model_dump_json(indent=1).encode())
    return done


def _move_if_there(lake: Lake, source: str, target: str) -> None:
    try:
        lake.move(source, target)
    except FileNotFoundError:
        return  # an earlier run, which was killed, moved it
