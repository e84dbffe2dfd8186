"""From records and a trained model to tonight's identity: scored pairs, clusters, ids and what changed."""

from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from ml.identity.clusters import cluster
from ml.identity.ids import changes, moves, redirects, retire, stable_ids
from ml.identity.linkage import PAIR_KEYS, LinkageModel, LinkageSpec, bits, score
from ml.identity.overrides import Override

KEYS = ["platform", "id"]


@dataclass(frozen=True)
class Identity:
    """Tonight's identity. Its tables are those of the functions in `ml.identity.ids` with the same names."""

    current: pa.Table  # platform, id, cluster_id
    retired: pa.Table
    redirects: pa.Table
    moves: pa.Table
    changes: pa.Table
    links: pa.Table  # the pairs with at least the probability of the threshold


def score_changed(
    records: pa.Table,
    spec: LinkageSpec,
    model: LinkageModel,
    scored: pa.Table | None,
    known: pa.Table | None,
    threads: int,
    memory_limit: str,
) -> tuple[pa.Table, int]:
    """The scored pairs of all ``records``, and how many of these pairs were compared now.

    A pair of two unchanged records keeps its score.

    Args:
        records: as in :func:`ml.identity.linkage.score`, with ``fingerprint``.
        scored: the pairs that the same model scored before; None compares everything.
        known: the records as they were then: ``platform``, ``id`` and, where it is known, ``fingerprint``. A record that
            differs in one of these columns has changed. None: every record has changed.
    """
    if scored is None:
        fresh = score(records, spec, model, None, threads, memory_limit)
        return fresh, fresh.num_rows
    numbers = pa.array(range(records.num_rows))
    same = records.select([*KEYS, "fingerprint"]).append_column("n", numbers)
    same = same.join(known, known.column_names, join_type="left semi") if known is not None else same.slice(0, 0)
    changed = pc.invert(pc.is_in(numbers, value_set=same["n"].combine_chunks()))
    fresh = score(records, spec, model, changed, threads, memory_limit)
    kept = scored
    for side in ("l", "r"):
        kept = kept.join(same, [f"platform_{side}", f"id_{side}"], KEYS, join_type="left semi")
    every = pa.concat_tables([kept.select(fresh.column_names), fresh])
    return every.sort_by([(key, "ascending") for key in PAIR_KEYS]), fresh.num_rows


def with_alike(pairs: pa.Table, alike: pa.Table, threshold: float) -> pa.Table:
    """The pairs, and the ``alike`` pairs that were not compared as links that barely reach the ``threshold``.

    So every other link counts for more than such a pair, and every doubt against it counts for more too. ``alike`` is as
    from :func:`ml.identity.interests.alike_pairs`.
    """
    only = alike.join(pairs.select(list(PAIR_KEYS)), list(PAIR_KEYS), join_type="left anti")
    weight = bits(threshold) + 1e-6
    rows = pa.array([weight] * only.num_rows, pa.float64())
    added = only.drop_columns(["cosine"]).append_column("match_weight", rows).append_column("interests", rows)
    added = added.append_column("score", pa.array([1 / (1 + 2**-weight)] * only.num_rows, pa.float64()))
    every = pa.concat_tables([pairs, added], promote_options="default")
    zeros = [pc.fill_null(every[name], 0.0) if name not in PAIR_KEYS else every[name] for name in pairs.column_names]
    return pa.table(zeros, names=pairs.column_names)


def resolve(
    records: pa.Table,
    pairs: pa.Table,
    *,
    threshold: float,
    max_size: int,
    decisions: Sequence[Override],
    previous: pa.Table | None,
    retired: pa.Table | None,
    prefix: str,
    compared: list[str],
) -> Identity:
    """Cluster the records, give each cluster its id, and find out what changed since the ``previous`` identity.

    Args:
        records, pairs, threshold, max_size: as in :func:`ml.identity.clusters.cluster`.
        decisions: the decisions by people that are in force.
        previous, retired, prefix: as in :func:`ml.identity.ids.stable_ids`.
        compared: names of the comparisons, which evidence is told by.
    """
    always, never = (
        [(*override.left, *override.right) for override in decisions if override.decision == decision]
        for decision in ("same", "different")
    )
    labels = cluster(records, pairs, threshold, max_size, always, never)
    current = stable_ids(records, labels, previous, retired, prefix)
    retired_now, moved = retire(current, previous, retired), moves(current, previous)
    decided = {override.pair: str(override) for override in decisions}
    return Identity(
        current=current,
        retired=retired_now,
        redirects=redirects(current, retired_now),
        moves=moved,
        changes=changes(moved, current, pairs, compared, decided),
        links=pairs.filter(pc.greater_equal(pairs["score"], threshold)),
    )


def in_both_nights(current: pa.Table, previous: pa.Table | None) -> tuple[int, int]:
    """How many records are in both identities, and how many of those have another id now."""
    if previous is None:
        return 0, 0
    both = current.join(previous.rename_columns([*KEYS, "before"]), KEYS, join_type="inner")
    return both.num_rows, pc.sum(pc.not_equal(both["cluster_id"], both["before"])).as_py() or 0


def cluster_counts(current: pa.Table, max_size: int) -> dict[str, int]:
    """How many ``clusters`` there are, how many are ``on_several_platforms`` or ``at_size_cap``, and the ``largest`` one."""
    sizes = current["cluster_id"].value_counts().field("counts")
    platforms = current.group_by("cluster_id").aggregate([("platform", "count_distinct")])["platform_count_distinct"]
    return {
        "clusters": len(sizes),
        "on_several_platforms": pc.sum(pc.greater(platforms, 1)).as_py() or 0,
        "largest": pc.max(sizes).as_py() or 0,
        "at_size_cap": pc.sum(pc.greater_equal(sizes, max_size)).as_py() or 0,
    }
