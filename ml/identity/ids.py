"""Ids that outlive changes of the cluster; what changed: merges, splits, and the successors of retired ids."""

from collections.abc import Mapping

import pandas as pd
import pyarrow as pa

from ml.identity.linkage import PAIR_KEYS
from ml.identity.overrides import Record

CHANGES = pa.schema(
    [
        ("kind", pa.string()),
        ("cluster_id", pa.string()),
        ("other_id", pa.string()),
        ("records", pa.string()),
        ("evidence", pa.string()),
    ]
)
RETIRED = pa.schema([("retired_id", pa.string()), ("platform", pa.string()), ("id", pa.string())])


def stable_ids(
    records: pa.Table, labels: pa.Array, previous: pa.Table | None, retired: pa.Table | None, prefix: str
) -> pa.Table:
    """Give each cluster an id that outlives changes of the cluster.

    The rule, in this order:

    1. A cluster that comes out of a split, or none of whose records was there the night before, gets a retired id back
       if it holds at least half of the records which had that id when it was retired (tie: the larger share, then more
       records, then the smallest id and record): undoing a merge gives both their own ids again.
    2. An id of the night before goes to the cluster that holds most of its records now (tie: the one with the smallest
       record); a cluster that is owed several ids gets the id of which it has most records (tie: the smallest id).
    3. All others get a new id: ``prefix`` and a hash of the smallest record, so that ids depend neither on the order of
       the records nor on how many there are.

    Args:
        records: ``platform``, ``id`` (string), one row a record.
        labels: int64 cluster label of each record, from :func:`ml.identity.clusters.cluster`.
        previous: ``platform``, ``id``, ``cluster_id`` of the night before, or None.
        retired: ``retired_id``, ``platform``, ``id``: the records of each id when it was retired, or None.
        prefix: what new ids start with.

    Returns:
        ``platform``, ``id``, ``cluster_id``, sorted by platform and id.
    """
    frame = pd.DataFrame(
        {"platform": records["platform"].to_pandas(), "id": records["id"].to_pandas(), "label": labels.to_pandas()}
    ).sort_values(["platform", "id"], ignore_index=True)
    smallest = frame.drop_duplicates("label").set_index("label")
    claims: pd.Series[str] = pd.Series(dtype="object")
    in_use: set[str] = set()
    if previous is not None:
        former = RETIRED.empty_table() if retired is None else retired
        frame["order"] = range(len(frame))
        before = frame.merge(previous.to_pandas(), on=["platform", "id"])
        revived = _revived(frame, before, former.to_pandas())
        claims = pd.concat([revived, _claims(before[~before["label"].isin(revived.index)])])
        in_use = {*previous["cluster_id"].to_pylist(), *former["retired_id"].to_pylist()}

    new = smallest[~smallest.index.isin(claims.index)]
    seeds = new["platform"] + ":" + new["id"]
    fresh = _hashed_ids(seeds, prefix)
    # the id that a smallest record would give may still belong to the cluster it left
    attempt = 1
    while (clash := fresh.isin(in_use)).any():
        attempt += 1
        fresh[clash] = _hashed_ids(seeds[clash] + f"#{attempt}", prefix)
    ids = pd.concat([claims, fresh])
    if not ids.is_unique:
        raise ValueError(f"{int(ids.duplicated().sum())} clusters were given an id that another one has")
    return pa.table(
        {
            "platform": pa.array(frame["platform"], pa.string()),
            "id": pa.array(frame["id"], pa.string()),
            "cluster_id": pa.array(frame["label"].map(ids), pa.string()),
        }
    )


def _revived(frame: pd.DataFrame, before: pd.DataFrame, retired: pd.DataFrame) -> "pd.Series[str]":
    """Retired ids by the label of the cluster that gets them back; a former id always stays with one of its parts."""
    parts, origins = before.groupby("cluster_id")["label"].nunique(), before.groupby("label")["cluster_id"].nunique()
    split = before[before["cluster_id"].isin(parts[parts > 1].index)]
    # who joined others has another history than the one which the retired id stood for
    eligible = {*frame["label"]} - {*before["label"]} | {*split["label"]} & {*origins[origins == 1].index}
    held = frame[frame["label"].isin(eligible)].merge(retired, on=["platform", "id"])
    held = held.groupby(["label", "retired_id"], as_index=False).agg(records=("id", "size"), first=("order", "min"))
    held = held.merge(retired.groupby("retired_id", as_index=False).agg(of=("id", "size")), on="retired_id")
    held["share"] = held["records"] / held["of"]
    held = held[held["share"] >= 0.5].sort_values(
        ["share", "records", "retired_id", "first"], ascending=[False, False, True, True]
    )
    best = held.drop_duplicates("label").drop_duplicates("retired_id")
    # where every part could have an id back, the one with most records keeps the id that they had in common
    whole = split.groupby("cluster_id")["label"].agg(lambda labels: set(labels) <= set(best["label"]))
    crowded = split[split["cluster_id"].isin(whole[whole].index)]
    keeper = crowded.groupby(["cluster_id", "label"], as_index=False).agg(
        records=("id", "size"), first=("order", "min")
    )
    keeper = keeper.sort_values(["records", "first"], ascending=[False, True]).drop_duplicates("cluster_id")
    return best[~best["label"].isin(keeper["label"])].set_index("label")["retired_id"]


def _claims(before: pd.DataFrame) -> "pd.Series[str]":
    """Former ids by cluster label, each id at one cluster and each cluster with one id at the most."""
    overlap = before.groupby(["label", "cluster_id"], as_index=False).agg(
        records=("id", "size"), first=("order", "min")
    )
    by_id = overlap.sort_values(["records", "first"], ascending=[False, True]).drop_duplicates("cluster_id")
    by_label = by_id.sort_values(["records", "cluster_id"], ascending=[False, True]).drop_duplicates("label")
    return by_label.set_index("label")["cluster_id"]


def _hashed_ids(seeds: "pd.Series[str]", prefix: str) -> "pd.Series[str]":
    if seeds.empty:  # a night without a new cluster
        return seeds.astype("object")
    halves = [
        pd.util.hash_pandas_object(seeds, index=False, hash_key=key) for key in ("crossrec-ident-1", "crossrec-ident-2")
    ]
    hexed = [half.map("{:016x}".format) for half in halves]
    return (prefix + hexed[0] + hexed[1].str[:8]).set_axis(seeds.index)


def retire(current: pa.Table, previous: pa.Table | None, retired: pa.Table | None) -> pa.Table:
    """Every id that no record has any more, with the records it had when it was retired (RETIRED).

    ``current`` and ``previous`` are of :func:`stable_ids`, ``retired`` is of the night before. An id that is in use again
    is no longer retired.
    """
    gone = previous.to_pandas().rename(columns={"cluster_id": "retired_id"}) if previous is not None else None
    tables = [table for table in (retired.to_pandas() if retired is not None else None, gone) if table is not None]
    if not tables:
        return RETIRED.empty_table()
    every = pd.concat(tables, ignore_index=True)[RETIRED.names]
    every = every[~every["retired_id"].isin(set(current["cluster_id"].to_pylist()))]
    return pa.Table.from_pandas(every.drop_duplicates().sort_values(RETIRED.names), RETIRED, preserve_index=False)


def redirects(current: pa.Table, retired: pa.Table) -> pa.Table:
    """Where each retired id went: ``retired_id``, ``cluster_id`` that holds most of its records now (tie: the smallest id).

    An id whose records are all gone has no successor and is left out.
    """
    held = (
        retired.to_pandas()
        .merge(current.to_pandas(), on=["platform", "id"])
        .groupby(["retired_id", "cluster_id"], as_index=False)
        .size()
    )
    best = held.sort_values(["size", "cluster_id"], ascending=[False, True]).drop_duplicates("retired_id")
    best = best.sort_values("retired_id")
    return pa.table(
        {
            "retired_id": pa.array(best["retired_id"], pa.string()),
            "cluster_id": pa.array(best["cluster_id"], pa.string()),
        }
    )


def moves(current: pa.Table, previous: pa.Table | None) -> pa.Table:
    """Records of both nights whose company is another one: ``kind`` (merge, split), ``cluster_id``, ``other_id``, ``platform``, ``id``.

    A merge brings the records of ``other_id`` into ``cluster_id``; a split moves records out of ``other_id`` into ``cluster_id``.
    Records that are new or gone move nobody.
    """
    columns = ["kind", "cluster_id", "other_id", "platform", "id"]
    if previous is None:
        return pa.table({name: pa.array([], pa.string()) for name in columns})
    both = current.to_pandas().merge(previous.to_pandas(), on=["platform", "id"], suffixes=("", "_before"))
    # each former id goes on as the cluster that has it, or else as the one that holds most of its records
    held = both.groupby(["cluster_id_before", "cluster_id"], as_index=False).size()
    held["same"] = held["cluster_id_before"] == held["cluster_id"]
    heirs = held.sort_values(["same", "size", "cluster_id"], ascending=[False, False, True])
    heir = heirs.drop_duplicates("cluster_id_before").set_index("cluster_id_before")["cluster_id"]
    split = both[both["cluster_id"] != both["cluster_id_before"].map(heir)].assign(kind="split")
    root = held.sort_values(["same", "size", "cluster_id_before"], ascending=[False, False, True])
    root_of = root.drop_duplicates("cluster_id").set_index("cluster_id")["cluster_id_before"]
    merged = both[both["cluster_id_before"] != both["cluster_id"].map(root_of)].assign(kind="merge")
    moved = pd.concat([merged, split]).rename(columns={"cluster_id_before": "other_id"})
    moved = moved.sort_values(columns, ignore_index=True)
    return pa.table({name: pa.array(moved[name], pa.string()) for name in columns})


def changes(
    moved: pa.Table,
    current: pa.Table,
    pairs: pa.Table,
    compared: list[str],
    decided: Mapping[tuple[Record, Record], str],
) -> pa.Table:
    """One row a merge or split (CHANGES), with the records that moved (``platform:id``) and the evidence.

    The evidence is the strongest pair between those who moved and the others: of a merge the link that made it, of a
    split what is left of one. What people ``decided`` about a pair between them (by its two records) comes first.
    ``compared`` are the columns of ``pairs`` with the bits of each comparison.
    """
    if not moved.num_rows:
        return CHANGES.empty_table()
    group = ["kind", "cluster_id", "other_id"]
    frame = moved.to_pandas()
    frame["there"] = frame["cluster_id"].where(frame["kind"] == "merge", frame["other_id"])
    strongest = _strongest(frame, current.to_pandas(), pairs.to_pandas(), group)
    cluster_of = current.to_pandas().set_index(["platform", "id"])["cluster_id"]
    rows = []
    for key, records in frame.groupby(group):
        names = list(zip(records["platform"], records["id"], strict=True))
        movers, there = {*names}, records["there"].iloc[0]
        reasons = [
            text
            for (left, right), text in decided.items()
            for mover, other in ((left, right), (right, left))
            if mover in movers and other not in movers and cluster_of.get(other) == there
        ]
        found = in_words(strongest[key], compared) if key in strongest else "no pair links them"
        rows.append(
            {
                **dict(zip(group, key, strict=True)),
                "records": ", ".join(f"{platform}:{id_}" for platform, id_ in names),
                "evidence": reasons[0] if reasons else found,
            }
        )
    return pa.Table.from_pylist(rows, CHANGES)


def _strongest(
    moved: pd.DataFrame, current: pd.DataFrame, pairs: pd.DataFrame, group: list[str]
) -> dict[tuple[str, str, str], dict[str, object]]:
    """By merge or split, its strongest pair between a record that moved and one that did not."""
    ends = []
    for mover, other in (("l", "r"), ("r", "l")):
        named = {f"platform_{mover}": "platform", f"id_{mover}": "id"}
        reached = current.rename(
            columns={"platform": f"platform_{other}", "id": f"id_{other}", "cluster_id": "reached"}
        )
        one = pairs.merge(moved.rename(columns={new: old for old, new in named.items()}), on=list(named))
        one = one.merge(reached, on=[f"platform_{other}", f"id_{other}"])
        one = one[one["reached"] == one["there"]]
        with_them = moved[[*group, "platform", "id"]].rename(
            columns={"platform": f"platform_{other}", "id": f"id_{other}"}
        )
        one = one.merge(with_them.assign(moved_too=True), on=list(with_them.columns), how="left")
        ends.append(one[one["moved_too"].isna()])
    found = (
        pd.concat(ends).sort_values(["match_weight", *PAIR_KEYS], ascending=[False] + [True] * 4).drop_duplicates(group)
    )
    return {
        (row["kind"], row["cluster_id"], row["other_id"]): {str(name): value for name, value in row.items()}
        for row in found.to_dict("records")
    }


def waterfall(pair: dict[str, object], compared: list[str]) -> list[tuple[str, float]]:
    """The comparisons of one pair that add or take off any bits, the strongest first."""
    steps = [(name, float(str(pair[name]))) for name in compared if pair[name]]
    return sorted(steps, key=lambda step: -abs(step[1]))


def in_words(pair: dict[str, object], compared: list[str]) -> str:
    """A pair in one line: names of columns and bits, without the compared values."""
    weights = ", ".join(f"{name} {weight:+.1f}" for name, weight in waterfall(pair, compared))
    return (
        f"{pair['platform_l']}:{pair['id_l']} ~ {pair['platform_r']}:{pair['id_r']}"
        f" {float(str(pair['match_weight'])):+.1f} bits ({weights})"
    )
