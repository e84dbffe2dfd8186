"""The frame and the rules of gate `contents`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import pyarrow as pa

from expectations.contents.metrics import Family
from expectations.contents.usual import Finding
from expectations.gate import stop, warn

if TYPE_CHECKING:
    import great_expectations as gx


FAMILIES: dict[Family, tuple[str, str, str]] = {
    "volume": (
        "as much as usual on such a weekday",
        "a fall is a broken or late feed, a rise a replay or robots; either changes what is popular",
        "compare with the source's own count; a load that is late or cut off comes whole in the next night",
    ),
    "quarantine": (
        "no more in quarantine than usual, by reason",
        "rows in quarantine teach nothing; many of one reason mean that a column was renamed, retyped or rescaled",
        "look into the quarantine of this load (docs/runbook.md), then mend the source or its staging model",
    ),
    "references": (
        "events of known accounts and items, with ids as they are usually written",
        "an event whose account or item is unknown counts for nobody; ids written otherwise split a person in two",
        "compare ids in the events with those in the accounts and items: case, blanks, leading zeros, '.0', another platform's",
    ),
    "repeats": (
        "no more repeated rows than usual",
        "what comes twice counts twice; under new ids nobody else notices",
        "ask for a replay, a second export or a restored backup at the source; discard the copies there",
    ),
    "values": (
        "types, values, devices and categories of events as usual",
        "a column that is empty, constant, rescaled, flipped or recoded teaches the model the wrong thing",
        "compare the named column in the source with last week's, then the staging model that maps it",
    ),
    "times": (
        "hours and ages of events as usual",
        "a wrong zone, clock or unit moves events between days and weeks, and with them labels and trends",
        "compare the newest events' times with the clock; see `timezone` in the declaration and the staging model",
    ),
    "behaviour": (
        "accounts that behave as usual",
        "robots, sign-up waves and events on the wrong account decide what is popular and what people like",
        "look at the accounts and items with most events tonight, and at how events find their account",
    ),
    "accounts": (
        "new, changed and deleted accounts as usual",
        "wrong segments or addresses link strangers; accounts that vanish get no list",
        "compare the account table with last week's: empty, constant, recoded or shuffled columns, deletions",
    ),
    "catalogue": (
        "new, changed and withdrawn items as usual",
        "items that vanish, or have another's title, price or category, are recommended wrongly or not at all",
        "compare the item table with last week's: empty, constant, recoded or shuffled columns, units of price",
    ),
}
MORE_ROOM = "If it is right, and will stay so, widen the bound of the named metric in {declaration}: `gate_bounds: {{<metric>: 3.0}}`"


def frame(findings: Sequence[Finding]) -> pa.Table:
    """The frame that `suite` checks: one row per comparison, with a column per family and severity.

    A column has the words of a comparison beyond its bound, and null everywhere else.
    """
    columns: dict[str, list[str | None]] = {"metric": [finding.metric for finding in findings]}
    for family in FAMILIES:
        columns[f"{family}_stop"] = [
            finding.text if finding.family == family and finding.stop > 1 else None for finding in findings
        ]
        columns[f"{family}_warn"] = [
            finding.text if finding.family == family and finding.warn > 1 and finding.stop <= 1 else None
            for finding in findings
        ]
    return pa.table(columns, schema=pa.schema([(name, pa.string()) for name in columns]))


def suite(platform: str) -> gx.ExpectationSuite:
    """Rules over `frame`: nothing beyond what the platform's own past allows."""
    import great_expectations as gx
    import great_expectations.expectations as gxe

    declaration = f"dbt_project/models/staging/{platform}/_{platform}__sources.yml"
    room = MORE_ROOM.format(declaration=declaration)
    return gx.ExpectationSuite(
        name="contents",
        meta={"named_by": "metric"},
        expectations=[
            gxe.ExpectColumnValuesToBeNull(
                column=f"{family}_{name}",
                **severity(f"{what}{room_for}", why=why, remedy=f"{remedy}. {room}"),
            )
            for name, severity, room_for in (("stop", stop, ""), ("warn", warn, ", without any doubt"))
            for family, (what, why, remedy) in FAMILIES.items()
        ],
    )
