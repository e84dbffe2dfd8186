"""From scored edges to clusters, and from clusters to ids that stay the same from night to night."""

import numpy as np
import pandas as pd
import pyarrow as pa
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components


def cluster(records: pa.Table, edges: pa.Table, threshold: float = 0.5, max_size: int | None = None) -> pa.Array:
    """Connected components over the edges of at least ``threshold``.

    A component of more than ``max_size`` records falls apart into single ones: a chain of chance links shows strangers'
    taste to each other, which is worse than a missed link.

    Returns one int64 label a record, in the order of ``records`` (``platform``, ``id``); a record without edges is alone.
    Labels number the clusters by their first record in order of (platform, id). Edges to unknown records raise ``KeyError``.
    """
    keys = pd.MultiIndex.from_arrays([records["platform"].to_pandas(), records["id"].to_pandas()])
    strong = edges.to_pandas()
    strong = strong[strong["score"] >= threshold]
    left, right = (
        keys.get_indexer(pd.MultiIndex.from_arrays([strong[f"platform_{side}"], strong[f"id_{side}"]]))
        for side in ("l", "r")
    )
    if (left < 0).any() or (right < 0).any():
        raise KeyError("edges name records that are not among the records to cluster")
    graph = coo_matrix((np.ones(len(strong), dtype=np.int8), (left, right)), shape=(len(keys), len(keys)))
    _, labels = connected_components(graph, directed=False)
    if max_size is not None:
        oversized = np.bincount(labels, minlength=1)[labels] > max_size
        labels = np.where(oversized, labels.max(initial=0) + 1 + np.arange(len(labels)), labels)
    order = keys.argsort()
    ranked = pd.factorize(labels[order])[0]
    numbered = np.empty(len(keys), dtype=np.int64)
    numbered[order] = ranked
    return pa.array(numbered, pa.int64())


def stable_ids(records: pa.Table, labels: pa.Array, previous: pa.Table | None, prefix: str) -> pa.Table:
    """Give each cluster an id that outlives changes of the cluster.

    The rule: an id of the night before goes to the cluster that holds most of its records now (tie: the cluster with the
    smallest record); a cluster that is owed several ids takes the one it has most records of (tie: the smallest id).
    A cluster owed none gets a new id: ``prefix`` and a hash of its smallest record, so that ids do not depend on
    the order of the records or on how many there are.

    Args:
        records: ``platform``, ``id`` (string), one row a record.
        labels: int64 cluster label of each record, from :func:`cluster`.
        previous: ``platform``, ``id``, ``cluster_id`` of the night before, or None.
        prefix: what new ids start with.

    Returns:
        ``platform``, ``id``, ``cluster_id``, sorted by platform and id.
    """
    frame = pd.DataFrame(
        {"platform": records["platform"].to_pandas(), "id": records["id"].to_pandas(), "label": labels.to_pandas()}
    ).sort_values(["platform", "id"], ignore_index=True)
    smallest = frame.drop_duplicates("label").set_index("label")
    claims = _claims(frame, previous) if previous is not None and previous.num_rows else pd.Series(dtype="object")
    taken = set(previous["cluster_id"].to_pylist()) if previous is not None else set()

    new = smallest[~smallest.index.isin(claims.index)]
    seeds = new["platform"] + ":" + new["id"]
    fresh = _hashed_ids(seeds, prefix)
    # the id that a smallest record would give may still belong to the cluster it left
    attempt = 1
    while (clash := fresh.isin(taken)).any():
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


def _claims(frame: pd.DataFrame, previous: pa.Table) -> "pd.Series[str]":
    """Former ids by cluster label, each id at one cluster and each cluster with one id at the most."""
    overlap = (
        frame.reset_index(names="order")
        .merge(previous.to_pandas(), on=["platform", "id"])
        .groupby(["label", "cluster_id"], as_index=False)
        .agg(records=("id", "size"), first=("order", "min"))
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
