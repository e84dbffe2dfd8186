"""Where identity lives in the lake: each night's tables, what passed its gate, and what people decided by hand.

The tables of a night are under ``identity/as_of=<date>/``. What tells about names, fingerprints and frequencies of terms,
is in the vault where the records are accounts. Nothing in this module knows how records are linked.
"""

import json
from dataclasses import dataclass
from datetime import date
from typing import Any

import pyarrow as pa
from pydantic import BaseModel, ConfigDict

from infra.lake import Lake, read_table, write_table
from infra.state import StateError, damage_named

FIELDS = {"left", "right", "decision", "who", "when", "why"}  # of a decision by a person


class PassedIdentity(BaseModel):
    """What the gate leaves when it lets the identity of a night pass."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    model_version: str
    vault_is_open: bool


class Acceptance(BaseModel):
    """A person accepted the merges and splits with this digest, and no others."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    digest: str
    changes: int
    who: str
    why: str
    when: str


@dataclass(frozen=True)
class PreviousIdentity:
    """The identity of the newest earlier night that passed its gate. Everything is None where there is no such night.

    ``ids`` has ``platform, id, cluster_id``; ``retired`` has ``retired_id, platform, id``; ``pairs`` has the columns of
    `ml.identity.linkage.score`; ``fingerprints`` has ``platform, id, fingerprint`` and is None where the vault was or is
    closed.
    """

    ids: pa.Table | None = None
    retired: pa.Table | None = None
    pairs: pa.Table | None = None
    fingerprints: pa.Table | None = None
    model_version: str = ""


def identity_key(as_of: date | str, name: str) -> str:
    """Lake key of one table of a night's identity."""
    return f"identity/as_of={as_of}/{name}.parquet"


@dataclass(frozen=True)
class IdentityStore:
    """The identity of one kind of records: accounts that become persons, or items that become products."""

    lake: Lake
    cluster: str  # person, product
    record: str  # account, item
    model: str  # name of the linkage model: people, products
    in_vault: bool  # fingerprints and frequencies tell about people

    # --- the tables of a night

    def read(self, as_of: date, name: str) -> pa.Table:
        return read_table(self.lake, identity_key(as_of, name))

    def write(self, as_of: date, name: str, table: pa.Table) -> None:
        write_table(self.lake, identity_key(as_of, name), table)

    def write_named(self, as_of: date, name: str, table: pa.Table) -> None:
        """Like `write`, with the words of this kind: ``cluster_id`` becomes ``person_id``, ``id`` becomes ``account_id``."""
        cluster, record = self.cluster, self.record
        words = {"cluster_id": f"{cluster}_id", "other_id": f"other_{cluster}_id", "id": f"{record}_id"}
        words |= {"retired_id": f"retired_{cluster}_id", "records": f"{record}s"}
        self.write(as_of, name, table.rename_columns([words.get(column, column) for column in table.column_names]))

    @property
    def ids_name(self) -> str:
        return f"{self.record}_{self.cluster}s"

    def ids(self, as_of: date) -> pa.Table:
        """``platform``, ``id`` and ``cluster_id`` of every record of the night."""
        return self.read(as_of, self.ids_name).rename_columns(["platform", "id", "cluster_id"])

    def nights(self) -> list[date]:
        """The nights that linked this kind, the newest first."""
        return self._nights_with(f"{self.ids_name}.parquet")[::-1]

    def _nights_with(self, file: str) -> list[date]:
        keys = [key for key in self.lake.list("identity/as_of=") if key.endswith(f"/{file}")]
        return [date.fromisoformat(key.split("/")[1].removeprefix("as_of=")) for key in keys]

    # --- what passed the gate

    def _passed_key(self, as_of: date) -> str:
        return f"identity/as_of={as_of}/{self.cluster}_accepted.json"

    def let_pass(self, as_of: date, passed: PassedIdentity) -> None:
        self.lake.put(self._passed_key(as_of), passed.model_dump_json().encode())

    def withdraw(self, as_of: date) -> None:
        """The identity that passed earlier is about to be replaced, and the gate must look at it again."""
        self.lake.delete(self._passed_key(as_of))

    def previous(self, as_of: date) -> PreviousIdentity:
        """The identity that the night of ``as_of`` compares itself with."""
        nights = [night for night in self._nights_with(f"{self.cluster}_accepted.json") if night < as_of]
        if not nights:
            return PreviousIdentity()
        newest = max(nights)
        with damage_named(
            self.lake.uri(self._passed_key(newest)), f"restore it from a backup, or run the night of {newest} again"
        ):
            passed = PassedIdentity.model_validate_json(self.lake.read(self._passed_key(newest))[0])
        return PreviousIdentity(
            ids=self.ids(newest),
            retired=self.read(newest, f"{self.cluster}_retired"),
            pairs=self.read(newest, f"{self.record}_pairs"),
            # a night with a closed vault compared without names, even if an earlier run of it had the names
            fingerprints=self._fingerprints(newest) if passed.vault_is_open else None,
            model_version=passed.model_version,
        )

    # --- what people accepted and decided

    def _accepted_changes(self, as_of: date) -> tuple[list[Acceptance], str | None]:
        try:
            content, etag = self.lake.read(self._acceptances_key(as_of))
        except FileNotFoundError:
            return [], None
        again = "restore it from a backup, or delete it and accept the changes again"
        with damage_named(self.lake.uri(self._acceptances_key(as_of)), again):
            return [Acceptance.model_validate(entry) for entry in json.loads(content)], etag

    def _acceptances_key(self, as_of: date) -> str:
        return f"identity/as_of={as_of}/{self.cluster}_accepted_changes.json"

    def accepted_digests(self, as_of: date) -> set[str]:
        return {acceptance.digest for acceptance in self._accepted_changes(as_of)[0]}

    def accept(self, as_of: date, acceptance: Acceptance) -> None:
        """Add an acceptance.

        Raises:
            ConditionFailed: Somebody else accepted something at the same moment; try again.
        """
        earlier, etag = self._accepted_changes(as_of)
        entries = [entry.model_dump() for entry in (*earlier, acceptance)]
        self.lake.put_if_match(self._acceptances_key(as_of), json.dumps(entries, indent=1).encode(), etag)

    def decisions(self) -> tuple[list[dict[str, Any]], str | None]:
        """Every decision by a person as written, the oldest first, and the version of the file."""
        key = f"identity/{self.cluster}_overrides.jsonl"
        try:
            text, etag = self.lake.read(key)
        except FileNotFoundError:
            return [], None
        mend = "restore it from a backup, or mend the line: each is one decision as a JSON object"
        with damage_named(self.lake.uri(key), mend):
            decisions = [dict(json.loads(line)) for line in text.decode().splitlines()]
            if any(missing := sorted(FIELDS - decision.keys()) for decision in decisions):
                raise ValueError(f"a decision without {', '.join(missing)}")
        return decisions, etag

    def write_decisions(self, decisions: list[dict[str, Any]], etag: str | None) -> None:
        """Replace the file of this version.

        Raises:
            ConditionFailed: Somebody else decided something at the same moment; try again.
        """
        lines = "".join(json.dumps(decision) + "\n" for decision in decisions)
        self.lake.put_if_match(f"identity/{self.cluster}_overrides.jsonl", lines.encode(), etag)

    # --- what may tell about people

    def _fingerprints_key(self, as_of: date) -> str:
        return f"{'vault/linkage' if self.in_vault else 'identity'}/as_of={as_of}/{self.record}_fingerprints.parquet"

    def _fingerprints(self, as_of: date) -> pa.Table | None:
        try:
            return read_table(self.lake, self._fingerprints_key(as_of))
        except (OSError, pa.ArrowException, StateError):  # the vault is closed tonight
            return None

    def write_fingerprints(self, as_of: date, table: pa.Table) -> None:
        write_table(self.lake, self._fingerprints_key(as_of), table)

    def _frequencies_key(self, version: int, column: str) -> str:
        return f"{'vault' if self.in_vault else 'identity'}/linkage/{self.model}/version={version}/{column}.parquet"

    def frequencies(self, version: int, columns: list[str]) -> dict[str, pa.Table]:
        """By column, how frequent each term was when the model learned. Empty where the vault is closed."""
        try:
            return {column: read_table(self.lake, self._frequencies_key(version, column)) for column in columns}
        except (OSError, pa.ArrowException, StateError):
            if not self.in_vault:
                raise
            return {}

    def write_frequencies(self, version: int, frequencies: dict[str, pa.Table]) -> None:
        for column, table in frequencies.items():
            write_table(self.lake, self._frequencies_key(version, column), table)
