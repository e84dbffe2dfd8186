"""A load that must not pass is held: its platform goes on with its last good data, and the night goes on without the load."""

import logging
from collections.abc import Iterable
from typing import Literal

from dags.steps.night import Night
from dags.steps.records import Delivery, Extracted
from expectations.gate import GateResult
from infra.platforms.held import accepted_digests, held_load, hold_load, load_digest
from infra.warehouse import unstage

log = logging.getLogger(__name__)


def hold_or_stop(night: Night, platform: str, result: GateResult) -> None:
    """Leave the gate's result, and hold the platform's load of tonight where the gate stops.

    The night stops only where the platform has no good load before tonight: there is nothing to go on with. A load that a
    person accepted passes every gate.

    Raises:
        GateStopped: the platform has nothing to go on with.
    """
    if result.verdict == "stop":
        result = result.model_copy(update={"load": _decided(night, platform, result)})
    night.write(result, result.key)
    log.info(f"gate {result.gate}, {platform}: {result.verdict}")
    result.raise_if_stopped()
    delivery = _delivery(night, platform)
    night.write(delivery, platform)
    if notice := delivery.notice(platform, night.as_of):
        log.warning(notice)


def _decided(night: Night, platform: str, result: GateResult) -> Literal["held", "accepted"] | None:
    """What becomes of tonight's load: ``accepted``, ``held``, or None where the night has to stop."""
    if load_digest(night.lake, night.platforms[platform], night.as_of) in accepted_digests(night.lake):
        return "accepted"
    hold(night, platform, result.reasons)
    return "held" if has_good_loads(night, platform) else None


def hold(night: Night, platform: str, reasons: Iterable[str]) -> None:
    """Put what came of the platform tonight aside, and take it out of staging, where an earlier run may have brought it."""
    held = hold_load(night.lake, night.platforms[platform], night.as_of, reasons)
    unstage(night.settings, platform, night.as_of)
    if held is not None:
        log.warning(
            f"platform '{platform}': its load of {night.as_of} is held, {sum(table.rows for table in held.tables):,} rows; "
            f"`crossrec loads show {platform} {night.as_of}` says why"
        )


def has_good_loads(night: Night, platform: str) -> bool:
    """Whether every table of the platform has a load of an earlier night."""
    tables = night.platforms[platform].tables
    return all(any(load.as_of < night.as_of for load in night.loads(platform, table.name)) for table in tables)


def _delivery(night: Night, platform: str) -> Delivery:
    """What the night goes on with: the last night of which every table is there, and why that is not tonight."""
    declared = night.platforms[platform]
    data_of = min(night.loads(platform, table.name)[-1].as_of for table in declared.tables)
    if data_of == night.as_of:
        return Delivery(data_of=data_of)
    held, extracted = held_load(night.lake, platform, night.as_of), night.find(Extracted, platform)
    is_held = held is not None and held.lies_in == "held"
    errors = [load.error for load in extracted.loads if load.error] if extracted else []
    reasons = list(held.reasons) if held is not None and is_held else errors
    return Delivery(
        data_of=data_of,
        is_held=is_held,
        is_frozen=(night.as_of - data_of).days > declared.max_staleness_days,
        because=reasons[0] if reasons else "",
    )
