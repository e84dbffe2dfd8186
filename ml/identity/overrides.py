"""What people decided about two records: always the same, or never."""

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

Record = tuple[str, str]  # platform, id
Decision = Literal["same", "different", "forget"]


class ContradictionError(ValueError):
    """A decision that cannot hold together with an earlier one; the message names both."""


@dataclass(frozen=True)
class Override:
    """One decision. A later one about the same two records replaces it; ``forget`` leaves them to the evidence again."""

    left: Record
    right: Record
    decision: Decision
    who: str
    when: str
    why: str

    @property
    def pair(self) -> tuple[Record, Record]:
        return (self.left, self.right) if self.left <= self.right else (self.right, self.left)

    def __str__(self) -> str:
        ends = " and ".join(":".join(record) for record in self.pair)
        return f"{ends}: {self.decision} ({self.who}, {self.when}: {self.why})"


def in_force(overrides: Iterable[Override]) -> list[Override]:
    """The newest decision about each pair that is not ``forget``, sorted by pair."""
    newest = {override.pair: override for override in sorted(overrides, key=lambda override: override.when)}
    return sorted((o for o in newest.values() if o.decision != "forget"), key=lambda override: override.pair)


def check(overrides: Sequence[Override], new: Override) -> None:
    """See whether ``new`` can hold together with what is in force.

    Raises:
        ContradictionError: Two records would be different, and the same by way of others; both decisions are named.
    """
    if new.left == new.right:
        raise ContradictionError(f"{':'.join(new.left)} is one record. Received: {new}. Remedy: name two.")
    kept = in_force([*overrides, new])
    same = [override for override in kept if override.decision == "same"]
    for override in kept:
        if override.decision == "different" and (chain := _chain(same, *override.pair)):
            earlier = override if override.pair != new.pair else chain[0]
            raise ContradictionError(
                f"decision {new} contradicts {earlier}. Received: "
                f"{' and '.join(':'.join(record) for record in override.pair)} would be different, and the same by way of "
                f"{'; '.join(str(link) for link in chain)}. Remedy: `crossrec identity forget` one of them first."
            )


def _chain(same: Sequence[Override], start: Record, end: Record) -> list[Override]:
    """The decisions that make ``start`` and ``end`` the same, or none."""
    reached: dict[Record, list[Override]] = {start: []}
    queue = deque([start])
    while queue:
        here = queue.popleft()
        for override in same:
            if here in override.pair:
                there = override.pair[1] if override.pair[0] == here else override.pair[0]
                if there not in reached:
                    reached[there] = [*reached[here], override]
                    queue.append(there)
    return reached.get(end, [])
