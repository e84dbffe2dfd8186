"""What people decided about identity by hand: `crossrec identity`."""

from dataclasses import asdict
from typing import Any

from infra.identity_store import IdentityStore
from ml.identity.overrides import Override, check, in_force


def decisions_in_force(store: IdentityStore) -> list[Override]:
    """The decisions about records of this kind. They hold for every night, backfills too."""
    return in_force(_override(fields) for fields in store.decisions()[0])


def decide(store: IdentityStore, new: Override) -> None:
    """Add a decision. The next night follows it.

    Raises:
        ContradictionError: It cannot hold together with an earlier one; both are named.
        ConditionFailed: Somebody else decided something at the same moment; try again.
    """
    earlier, etag = store.decisions()
    check([_override(fields) for fields in earlier], new)
    store.write_decisions([*earlier, asdict(new)], etag)


def _override(fields: dict[str, Any]) -> Override:
    return Override(**{**fields, "left": tuple(fields["left"]), "right": tuple(fields["right"])})
