"""From scored pairs to clusters, so that no chain of chance links makes one person of strangers."""

import heapq
from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from ml.identity.linkage import FLOOR, bits

ALWAYS, NEVER = 1e6, -1e9


def cluster(
    records: pa.Table,
    pairs: pa.Table,
    threshold: float,
    max_size: int,
    always: Sequence[tuple[str, str, str, str]] = (),
    never: Sequence[tuple[str, str, str, str]] = (),
) -> pa.Array:
    """Best links first, as greedy additive edge contraction (Keuper et al. 2015) does.

    The two clusters with the strongest link are joined, and their links to every other cluster add up. This goes on until
    no link is above zero. Of equally strong links, the one whose clusters have the smallest records comes first. A link is
    the sum of the match weights of all pairs across, each minus the bits of the ``threshold``. A pair that was never compared
    counts as FLOOR. So a third record joins two others only if both together speak for it. A link never joins two records of
    one platform that are ``alone``, and never makes a cluster larger than ``max_size``. Only ``always`` overrides these rules.

    Args:
        records: ``platform``, ``id`` (string) and ``alone`` (bool), one row a record.
        pairs: ``platform_l, id_l, platform_r, id_r`` and ``match_weight`` (bits), each pair once, in any direction.
        threshold: probability above which a pair counts as a link.
        always, never: pairs (platform, id, platform, id) that people have decided; records that are gone are passed over.

    Returns one int64 label a record, in the order of ``records``. Labels number the clusters by their first record in
    order of (platform, id).

    Raises:
        KeyError: ``pairs`` name a record that is not among ``records``.
        ValueError: ``pairs`` name two records twice.
    """
    keys = pd.MultiIndex.from_arrays([records["platform"].to_pandas(), records["id"].to_pandas()])
    left, right = (
        keys.get_indexer(pd.MultiIndex.from_arrays([pairs[f"platform_{s}"].to_pandas(), pairs[f"id_{s}"].to_pandas()]))
        for s in ("l", "r")
    )
    if (left < 0).any() or (right < 0).any():
        raise KeyError("pairs name records that are not among the records to cluster")
    if twice := int(pd.Index(np.minimum(left, right) * len(keys) + np.maximum(left, right)).duplicated().sum()):
        raise ValueError(f"two records make one pair, and its weight counts once. Received: {twice} pairs again")
    weight = pairs["match_weight"].to_numpy().astype(np.float64) - bits(threshold)
    left, right, weight = _decided(keys, left, right, weight, always, never)

    platform = pd.factorize(keys.get_level_values(0))[0]
    lonely = np.where(records["alone"].to_numpy(zero_copy_only=False), platform, -1)
    rank = np.empty(len(keys), dtype=np.int64)
    rank[keys.argsort()] = np.arange(len(keys))

    linked = weight > 0
    labels = _components(len(keys), left[linked], right[linked])
    inside = labels[left] == labels[right]
    doubtful = _doubtful(labels, left[inside], right[inside], weight[inside], lonely, max_size)
    within = inside & doubtful[labels[left]]
    clusters = labels.copy()
    for members, links in _by_component(labels, doubtful, left[within], right[within], weight[within]):
        clusters[members] = _contract(members, links, lonely, rank, max_size) + len(keys)
    numbered = np.empty(len(keys), dtype=np.int64)
    order = np.argsort(rank)
    numbered[order] = pd.factorize(clusters[order])[0]
    return pa.array(numbered, pa.int64())


Indices = npt.NDArray[np.int64]
Weights = npt.NDArray[np.float64]


def _decided(
    keys: pd.MultiIndex,
    left: Indices,
    right: Indices,
    weight: Weights,
    always: Sequence[tuple[str, str, str, str]],
    never: Sequence[tuple[str, str, str, str]],
) -> tuple[Indices, Indices, Weights]:
    """The pairs, with the decisions by people in place of the computed weights."""
    decided = [(pair, ALWAYS) for pair in always] + [(pair, NEVER) for pair in never]
    if not decided:
        return left, right, weight
    ends = np.array(
        [keys.get_indexer(pd.MultiIndex.from_tuples([pair[:2], pair[2:]])) for pair, _ in decided], dtype=np.int64
    )
    known = ends.min(axis=1) >= 0
    ends, values = np.sort(ends[known], axis=1), np.array([value for _, value in decided])[known]
    low, high = np.minimum(left, right), np.maximum(left, right)
    keep = ~np.isin(low * len(keys) + high, ends[:, 0] * len(keys) + ends[:, 1])
    return (
        np.concatenate([low[keep], ends[:, 0]]),
        np.concatenate([high[keep], ends[:, 1]]),
        np.concatenate([weight[keep], values]),
    )


def _components(count: int, left: Indices, right: Indices) -> Indices:
    graph = coo_matrix((np.ones(len(left), dtype=np.int8), (left, right)), shape=(count, count))
    labels: Indices = connected_components(graph, directed=False)[1].astype(np.int64)
    return labels


def _doubtful(
    labels: Indices, left: Indices, right: Indices, weight: Weights, lonely: Indices, max_size: int
) -> npt.NDArray[np.bool_]:
    """By component: whether a pair in it is not linked, or it breaks a rule. Every other component is a cluster as it is."""
    sizes = np.bincount(labels)
    links = np.bincount(labels[left[weight > 0]], minlength=len(sizes))
    seats = pd.DataFrame({"label": labels, "platform": lonely})[lonely >= 0]
    crowded = np.zeros(len(sizes), dtype=bool)
    crowded[seats.loc[seats.duplicated(), "label"]] = True
    result: npt.NDArray[np.bool_] = (links < sizes * (sizes - 1) // 2) | crowded | (sizes > max_size)
    return result


def _by_component(
    labels: Indices, doubtful: npt.NDArray[np.bool_], left: Indices, right: Indices, weight: Weights
) -> Iterable[tuple[Indices, list[tuple[int, int, float]]]]:
    """Each doubtful component: its records, and its pairs."""
    members = np.flatnonzero(doubtful[labels])
    members = members[np.argsort(labels[members], kind="stable")]
    pairs = np.argsort(labels[left], kind="stable")
    left, right, weight = left[pairs], right[pairs], weight[pairs]
    for label in np.flatnonzero(doubtful):
        first, last = np.searchsorted(labels[members], [label, label + 1])
        begin, end = np.searchsorted(labels[left], [label, label + 1])
        yield (
            members[first:last],
            list(zip(left[begin:end].tolist(), right[begin:end].tolist(), weight[begin:end].tolist(), strict=True)),
        )


def _contract(
    members: Indices, links: list[tuple[int, int, float]], lonely: Indices, rank: Indices, max_size: int
) -> Indices:
    """Greedy additive edge contraction of one component. Returns each record's cluster, named by one of its records."""
    clusters = {record: [record] for record in members.tolist()}
    # what compared pairs give above what they would count without having been compared; such sums simply add up
    above: dict[int, dict[int, float]] = {record: {} for record in clusters}
    for one, two, weight in links:
        above[one][two] = above[two][one] = above[one].get(two, 0.0) + weight - FLOOR

    def link(a: int, b: int) -> float:
        return above[a][b] + FLOOR * len(clusters[a]) * len(clusters[b])

    def entry(a: int, b: int) -> tuple[float, int, int, int, int]:
        a, b = (a, b) if rank[a] < rank[b] else (b, a)  # so a cluster bears the name of its smallest record
        return -link(a, b), int(rank[a]), int(rank[b]), a, b

    queue = [entry(one, two) for one in above for two in above[one] if rank[one] < rank[two]]
    heapq.heapify(queue)
    while queue and queue[0][0] < 0:
        negative, _, _, a, b = heapq.heappop(queue)
        if b not in above.get(a, {}) or link(a, b) != -negative:
            continue  # one of them has been joined to others since
        if link(a, b) < ALWAYS / 2 and not _may_join(clusters[a], clusters[b], lonely, max_size):
            continue
        clusters[a] += clusters.pop(b)
        for other, sum_ in above.pop(b).items():
            del above[other][b]
            if other != a:
                above[a][other] = above[other][a] = above[a].get(other, 0.0) + sum_
        for other in above[a]:
            heapq.heappush(queue, entry(a, other))
    named = {record: name for name, together in clusters.items() for record in together}
    return np.array([named[record] for record in members.tolist()], dtype=np.int64)


def _may_join(one: list[int], two: list[int], lonely: Indices, max_size: int) -> bool:
    platforms = set(lonely[one].tolist()) - {-1}
    return len(one) + len(two) <= max_size and platforms.isdisjoint(lonely[two].tolist())
