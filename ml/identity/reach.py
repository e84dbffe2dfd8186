"""How far merges and splits reach: whose history is another one tonight."""

import pyarrow as pa
import pyarrow.compute as pc

RECORD, CLUSTER = ["platform", "id"], ["platform", "id", "cluster_id"]


def moved_share(moved: pa.Table, current: pa.Table, with_events: pa.Table, known: int) -> float:
    """The share of the ``known`` records whose clusters have other events tonight than before; at most 1.

    A record that moved counts. So does each record of a cluster that a record with events entered or left: events of that record
    are in its history tonight, or are no longer.

    This is an upper bound of the lists that change: another history may still give the same items.

    Args:
        moved: records whose company changed: ``platform``, ``id``, ``cluster_id`` tonight, and ``other_id``, the cluster before
            (all strings).
        current: all records tonight: ``platform``, ``id``, ``cluster_id``.
        with_events: those of ``moved`` that have events: ``platform``, ``id``.
        known: how many records both nights have.
    """
    before = moved.select(["platform", "id", "other_id"]).rename_columns(CLUSTER)
    touched = pc.unique(pa.chunked_array([*moved["cluster_id"].chunks, *moved["other_id"].chunks], pa.string()))
    near = current.select(CLUSTER).filter(pc.is_in(current["cluster_id"], value_set=touched))
    records = pa.concat_tables([near, before.join(current.select(RECORD), RECORD, join_type="left semi")])
    changed = records.join(with_events.select(RECORD), RECORD, join_type="left semi")["cluster_id"]
    reached = records.filter(pc.is_in(records["cluster_id"], value_set=pc.unique(changed)))
    every = pa.concat_tables([reached.select(RECORD), moved.select(RECORD)])
    return min(1.0, float(every.group_by(RECORD).aggregate([]).num_rows) / max(known, 1))
