"""Step 3's gate: what landed is what was staged, and every staged row became something that has a name."""

from collections import Counter

from dags.steps.conservation import (
    Line,
    fate_lines,
    gone_lines,
    joined_lines,
    landed_lines,
    prove,
    source_lines,
    staged_lines,
)
from dags.steps.night import Night
from dags.steps.records import RowCount, RowCounts

REMEDY = (
    "look for an inner join or a filter in that platform's staging models (staged) or in `int_accounts`, `int_items` and "
    "`int_events` (fates), or for a join on a key that repeats; where files and manifest differ (landed), run the extract again"
)


def check_reconciliation(night: Night) -> None:
    """Prove by the loads' own manifests, which dbt never saw, that no row of any load is lost on the way to the marts.

    Raises:
        GateStopped: names each platform, table and load that does not add up.
    """
    staged = [*staged_lines(night)]
    night.write(_row_counts(night, staged))
    lines = [*source_lines(night), *landed_lines(night), *staged, *joined_lines(night), *fate_lines(night)]
    lines += gone_lines(night)
    prove(night, "reconciliation", lines, remedy=REMEDY)


def _row_counts(night: Night, staged: list[Line]) -> RowCounts:
    """The counts over all loads, by platform and contract, as the funnel of the report shows them."""
    counts = []
    for name, platform in night.platforms.items():
        for table in platform.tables:
            lines = [line for line in staged if (line.platform, line.table) == (name, table.name)]
            if table.contract == "none" or not lines:
                continue
            parts: Counter[str] = Counter()
            for line in lines:
                parts.update({part: rows or 0 for part, rows in line.parts.items()})
            counts.append(
                RowCount(
                    platform=name,
                    contract=table.contract,
                    raw_rows=sum(line.rows or 0 for line in lines),
                    staged_rows=parts["staged"],
                    duplicate_rows=parts["duplicate"],
                    quarantined_rows=parts["quarantined"] + parts["unreadable"],
                )
            )
    return RowCounts(counts=tuple(sorted(counts, key=lambda count: (count.platform, count.contract))))
