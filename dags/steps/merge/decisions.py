"""What people decided about identity by hand, kept in the lake: `crossrec identity`."""

import json
from collections.abc import Sequence
from dataclasses import asdict

from dags.steps.night import Night
from infra.lake import Lake
from ml.identity.overrides import Override, check, in_force


def _key(kind: str) -> str:
    return f"identity/{kind}_overrides.jsonl"


def decisions(night: Night, kind: str) -> list[Override]:
    """The decisions in force about records of ``kind`` (person, product). They hold for every night, backfills too."""
    return in_force(every_decision(night.lake, kind)[0])


def every_decision(lake: Lake, kind: str) -> tuple[list[Override], str | None]:
    """All that was ever decided, oldest first, and the version of the file."""
    try:
        text, etag = lake.read(_key(kind))
    except FileNotFoundError:
        return [], None
    return [_parsed(line) for line in text.decode().splitlines()], etag


def _parsed(line: str) -> Override:
    fields = json.loads(line)
    return Override(**{**fields, "left": tuple(fields["left"]), "right": tuple(fields["right"])})


def decide(lake: Lake, kind: str, new: Override) -> None:
    """Add a decision; the next night follows it.

    Raises:
        ContradictionError: It cannot hold together with an earlier one; both are named.
        ConditionFailed: Somebody else decided something at the same moment; try again.
    """
    earlier, etag = every_decision(lake, kind)
    check(earlier, new)
    lake.put_if_match(_key(kind), _lines([*earlier, new]), etag)


def _lines(overrides: Sequence[Override]) -> bytes:
    return "".join(json.dumps(asdict(override)) + "\n" for override in overrides).encode()
