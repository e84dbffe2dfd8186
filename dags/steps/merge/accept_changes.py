"""A person accepts the merges and splits that stopped a night: `crossrec identity accept`."""

from datetime import UTC, datetime

from dags.steps.merge.check_identity import digest
from dags.steps.merge.kinds import KINDS
from dags.steps.night import Night
from infra.identity_store import Acceptance


class NothingToAcceptError(RuntimeError):
    """The night has linked nothing yet."""


def accept_changes(night: Night, kind_name: str, who: str, why: str) -> int:
    """Let the night's merges and splits pass the gate, these and no others. Returns how many they are.

    Raises:
        NothingToAcceptError: The night has linked nothing yet.
    """
    kind = KINDS[kind_name]
    store = kind.store(night.lake)
    try:
        changes = store.read(night.as_of, f"{kind.name}_changes")
    except FileNotFoundError:
        raise NothingToAcceptError(
            f"the night of {night.as_of} has no merges and splits of {kind.name}s to accept. Received: no such file in the "
            "lake. Remedy: run the night first, it stops by itself where there is something to accept."
        ) from None
    when = datetime.now(UTC).isoformat(timespec="seconds")
    count = int(changes.num_rows)
    store.accept(night.as_of, Acceptance(digest=digest(changes), changes=count, who=who, why=why, when=when))
    return count
