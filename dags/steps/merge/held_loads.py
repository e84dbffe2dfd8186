"""What people see of held loads, and what they decide about them: `crossrec loads`, and the DAG `loads`."""

import logging
from datetime import UTC, date, datetime
from typing import NamedTuple

from dags.steps.night import Night
from infra.lake import Lake, open_lake
from infra.platforms import HeldLoad, LoadDecision, held_load, held_loads
from infra.platforms.held import Decision, accepted_digests, brought_by, discard_bytes, load_decisions, write_decision
from infra.settings import Settings

log = logging.getLogger(__name__)


class HeldLoadError(RuntimeError):
    """A held load is not there, or nothing can be decided about it any more."""


class ListedLoad(NamedTuple):
    """A held load, and what became of it."""

    load: HeldLoad
    state: str

    @property
    def rows(self) -> int:
        return sum(table.rows for table in self.load.tables)

    def __str__(self) -> str:
        tables = ", ".join(f"{table.table} {table.rows:,}" for table in self.load.tables) or "no whole table"
        return f"platform '{self.load.platform}', load of {self.load.as_of} ({tables} rows): {self.state}"


def listed_loads(lake: Lake) -> list[ListedLoad]:
    """Every load that was ever held, the oldest night first."""
    accepted = accepted_digests(lake)
    return [ListedLoad(load, _state(lake, load, accepted)) for load in held_loads(lake)]


def listed_load(lake: Lake, platform: str, as_of: date) -> tuple[ListedLoad, list[LoadDecision]]:
    """One held load, and what people decided about it, the oldest decision first.

    Raises:
        HeldLoadError: no load of this platform and night was held.
    """
    load = _found(lake, platform, as_of)
    decisions = [decision for decision in load_decisions(lake) if decision.digest == load.digest]
    return ListedLoad(load, _state(lake, load, accepted_digests(lake))), decisions


def decide(night: Night, platform: str, decision: Decision, who: str, why: str) -> str:
    """Accept or discard what is held of the platform's load of this night. Returns what follows, in a sentence.

    A load that is accepted is back when the platform's next task `extract` or `check_loads` begins, so that no task of a
    night that runs meanwhile sees half of it. One that is discarded is deleted at once; its record stays.

    Raises:
        HeldLoadError: there is no such load, or nothing to decide about it any more.
        ConditionFailed: somebody decided about the same load at the same moment; try again.
    """
    lake = night.lake
    load = _found(lake, platform, night.as_of)
    _require_decidable(lake, load, decision)
    when = datetime.now(UTC)
    write_decision(
        lake,
        LoadDecision(
            platform=platform, as_of=night.as_of, digest=load.digest, decision=decision, who=who, why=why, when=when
        ),
    )
    what = f"the load of platform '{platform}' of {night.as_of}"
    if decision == "accept":
        return f"{what} is accepted; the next night takes it in, or this one if its task check_loads is cleared with all after it"
    discard_bytes(lake, load)
    return f"{what} is discarded; what the source still has of it comes with the next night"


def carry_out(decision: str, platform: str | None, night: str | None, who: str | None, why: str | None) -> None:
    """What the DAG `loads` is asked for: log every held load, or decide about one.

    Raises:
        HeldLoadError: something that a decision needs is not given; or as `decide`.
    """
    settings = Settings()
    if decision == "show":
        lines = [str(listed) for listed in listed_loads(open_lake(settings))] or ["no load is held"]
    else:
        given = {"platform": platform, "night": night, "who": who, "why": why}
        if missing := [name for name, value in given.items() if not (value or "").strip()]:
            raise HeldLoadError(
                f"a decision needs {', '.join(missing)}. Received: none. Remedy: trigger the DAG again, with all params."
            )
        of_night = Night(date.fromisoformat(str(night)), settings=settings)
        asked: Decision = "accept" if decision == "accept" else "discard"
        lines = [decide(of_night, str(platform), asked, str(who), str(why))]
    for line in lines:
        log.info(line)


def _require_decidable(lake: Lake, load: HeldLoad, decision: Decision) -> None:
    what = f"platform '{load.platform}': the load of {load.as_of}"
    if load.lies_in == "nowhere":
        raise HeldLoadError(f"{what} is discarded already. Received: {decision}. Remedy: nothing can be done about it.")
    if load.lies_in == "raw":
        raise HeldLoadError(
            f"{what} is in use already, since a person accepted it. Received: {decision}. Remedy: to take it out again, run "
            "its night anew and let the gates look at what the source has now."
        )
    if decision == "discard":
        return
    if later := brought_by(lake, load):
        raise HeldLoadError(
            f"{what} is superseded: the load of {later} has brought everything that it holds. Received: accept. Remedy: "
            "nothing is missing; `crossrec loads discard` frees its space."
        )
    if not load.is_whole:
        tables = ", ".join(f"'{table.table}'" for table in load.tables) or "none"
        raise HeldLoadError(
            f"{what} is not whole, for another table could not be read. Received: accept, of tables {tables}. Remedy: mend the "
            "source; the next night brings all of it."
        )


def _found(lake: Lake, platform: str, as_of: date) -> HeldLoad:
    load = held_load(lake, platform, as_of)
    if load is None:
        known = ", ".join(f"{other.platform} {other.as_of}" for other in held_loads(lake)) or "none at all"
        raise HeldLoadError(
            f"no load of platform '{platform}' of {as_of} is held. Received: held loads: {known}. Remedy: choose one of "
            "`crossrec loads list`."
        )
    return load


def _state(lake: Lake, load: HeldLoad, accepted: set[str]) -> str:
    if load.lies_in == "nowhere":
        return "discarded"
    if load.lies_in == "raw":
        return "accepted"
    if later := brought_by(lake, load):
        return f"superseded by the load of {later}"
    return "accepted, comes with the next night" if load.digest in accepted else "held"
