"""The lines of the conservation table from interactions to examples, of the snapshots that got their labels tonight."""

from collections.abc import Iterator
from datetime import date, timedelta
from itertools import groupby

from dags.steps.conservation import Line
from dags.steps.night import Night
from dags.steps.records import BuildPlan
from infra.warehouse import query

TABLE = "labels"


def label_lines(night: Night) -> Iterator[Line]:
    """Positive interactions and the labels of them, labels and their examples, candidates and their examples.

    Only of snapshots whose labels were made tonight. A label stays as it is, and what is known of people and items goes on: whose
    account is deleted later has a label and no interaction.
    """
    snapshots = newly_labelled(night)
    if not snapshots:
        return
    counted = query(
        night.settings,
        "select stage, platform, fate, sum(fate_rows)::bigint as rows from marts.label_fates"
        " where list_contains($snapshots, as_of) group by all order by all",
        {"snapshots": snapshots},
    ).to_pylist()
    for (stage, platform), group in groupby(counted, key=lambda row: (row["stage"], row["platform"])):
        rows = {row["fate"]: row["rows"] for row in group}
        named = {fate: count for fate, count in rows.items() if fate is not None}
        yield Line(platform, TABLE, night.as_of, stage, sum(rows.values()), named)


def newly_labelled(night: Night) -> list[date]:
    """The snapshots whose labels were made tonight: all, where all marts were built again, or those whose horizon closed since the
    night before.
    """
    labelled = query(night.settings, "select as_of from marts.snapshots where role != 'scoring' order by as_of")
    snapshots: list[date] = labelled["as_of"].to_pylist()
    if night.read(BuildPlan).full_refresh:
        return snapshots
    return [snapshot for snapshot in snapshots if not _had_a_night(night, snapshot)]


def _had_a_night(night: Night, snapshot: date) -> bool:
    """Whether an earlier night built marts after the snapshot's horizon had closed."""
    closed = snapshot + timedelta(night.settings.horizon_days)
    nights = (closed + timedelta(days) for days in range((night.as_of - closed).days))
    return any(Night(as_of, settings=night.settings).find(BuildPlan) is not None for as_of in nights)
