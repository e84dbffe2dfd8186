"""Ranking metrics of one contender, list by list, and the pooled ones.

A list is what a contender shows one person on one platform. Only lists with something to find are judged: the pairs
(person_id, platform) of `relevant`, whose count includes the positives no contender retrieved. A contender without a
list for such a pair finds nothing there and scores 0. Ties in score go to the smaller item_id.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

NDCG_AT = 10
RECALL_AT = 20
COVERAGE_AT = 20


@dataclass(frozen=True)
class Lists:
    """The judged pairs, in the order every array of per-list values follows."""

    person: Ints  # index into persons, by list
    platform: Ints  # index into platforms, by list
    relevant: Ints  # positives to find, at least 1, by list
    persons: pa.Array
    platforms: list[str]

    @classmethod
    def from_table(cls, relevant: pa.Table) -> "Lists":
        """From columns person_id, platform, relevant: one row per pair. Pairs with nothing to find are left out."""
        relevant = relevant.filter(pc.greater(relevant["relevant"], 0))
        if not relevant.num_rows:
            raise ValueError("no person has a positive in the evaluation window; there is nothing to evaluate")
        persons = pc.unique(relevant["person_id"]).sort()
        platforms = pc.unique(relevant["platform"]).sort()
        lists = cls(
            pc.index_in(relevant["person_id"], persons).to_numpy().astype(np.int64),
            pc.index_in(relevant["platform"], platforms).to_numpy().astype(np.int64),
            relevant["relevant"].to_numpy().astype(np.int64),
            persons,
            platforms.to_pylist(),
        )
        if repeated := relevant.num_rows - len(np.unique(lists._keys())):
            raise ValueError(f"`relevant` must have one row per (person_id, platform); {repeated:,} rows repeat one")
        return lists

    def _keys(self) -> Ints:
        return self.person * len(self.platforms) + self.platform

    def find(self, table: pa.Table) -> Ints:
        """The list of each row of `table` by its person_id and platform; -1 where the pair is not judged."""
        person = pc.fill_null(pc.index_in(table["person_id"], self.persons), -1).to_numpy().astype(np.int64)
        platform = pc.fill_null(
            pc.index_in(table["platform"], pa.array(self.platforms, self.platform_type(table))), -1
        ).to_numpy()
        order = np.argsort(self._keys())
        sorted_keys = self._keys()[order]
        wanted = np.where((person < 0) | (platform < 0), -1, person * len(self.platforms) + platform)
        place = np.searchsorted(sorted_keys, wanted).clip(max=len(order) - 1)
        return np.where(sorted_keys[place] == wanted, order[place], -1)

    @staticmethod
    def platform_type(table: pa.Table) -> pa.DataType:
        kind = table["platform"].type
        return kind.value_type if pa.types.is_dictionary(kind) else kind


@dataclass(frozen=True)
class Ranked:
    """A contender's judged rows, best first within each list."""

    list: Ints  # index into Lists, ascending
    rank: Ints  # 1 is best
    label: Floats
    score: Floats
    item: pa.Array


def ranked(scored: pa.Table, lists: Lists, contender: str = "contender") -> Ranked:
    """Sorts a contender's table (person_id, platform, item_id, score, label) into the judged lists.

    Raises ValueError for a score that is null or not finite, a label other than 0 or 1, an item twice in a list, or
    more positives in a list than `relevant` knows of.
    """
    where = lists.find(scored)
    kept = np.flatnonzero(where >= 0)
    scored, where = scored.take(kept), where[kept]
    score = scored["score"].cast(pa.float64()).to_numpy()
    label = scored["label"].cast(pa.float64()).to_numpy()
    if wrong := int(np.count_nonzero(~np.isfinite(score))):
        raise ValueError(f"{contender}: {wrong:,} of {len(score):,} scores are null, NaN or infinite")
    if wrong := int(np.count_nonzero((label != 0) & (label != 1))):
        raise ValueError(f"{contender}: {wrong:,} of {len(label):,} labels are neither 0 nor 1")
    item = sorted_codes(scored["item_id"])
    order = np.lexsort((item, -score, where))
    where, label, item = where[order], label[order], item[order]
    by_item = np.lexsort((item, where))
    if wrong := int(np.count_nonzero((np.diff(where[by_item]) == 0) & (np.diff(item[by_item]) == 0))):
        raise ValueError(f"{contender}: {wrong:,} rows repeat an item of the same list")
    if np.any(np.bincount(where, label, minlength=len(lists.relevant)) > lists.relevant):
        raise ValueError(f"{contender}: some list has more positives than `relevant` counts for it")
    return Ranked(where, position_in_group(where) + 1, label, score[order], scored["item_id"].take(order))


def sorted_codes(column: pa.ChunkedArray) -> Ints:
    """Integers that order like the column's values; equal values share one."""
    distinct = pc.unique(column)
    places: Ints = pc.index_in(column, distinct.take(pc.sort_indices(distinct))).to_numpy().astype(np.int64)
    return places


def position_in_group(groups: Ints) -> Ints:
    """0, 1, 2 ... within each run of equal values."""
    starts = np.flatnonzero(np.r_[True, groups[1:] != groups[:-1]]) if len(groups) else np.empty(0, np.int64)
    lengths = np.diff(np.r_[starts, len(groups)])
    return np.arange(len(groups), dtype=np.int64) - np.repeat(starts, lengths)


def by_list(rows: Ranked, lists: Lists) -> dict[str, Floats]:
    """NDCG@10, Recall@20 and MRR of every judged list (Järvelin & Kekäläinen 2002 with binary gains).

    The ideal DCG and the recall count every relevant item, retrieved or not; MRR looks at the whole list.
    """
    count = len(lists.relevant)

    def summed(values: Floats) -> Floats:
        return np.bincount(rows.list, values, minlength=count).astype(np.float64)

    discounts = 1 / np.log2(np.arange(2, NDCG_AT + 2))
    ideal = np.cumsum(discounts)[np.minimum(lists.relevant, NDCG_AT) - 1]
    gains = np.where(rows.rank <= NDCG_AT, rows.label / np.log2(rows.rank + 1), 0.0)
    reciprocal = np.zeros(count)
    hits = rows.label == 1
    np.maximum.at(reciprocal, rows.list[hits], 1 / rows.rank[hits])
    return {
        f"ndcg_at_{NDCG_AT}": summed(gains) / ideal,
        f"recall_at_{RECALL_AT}": summed(rows.label * (rows.rank <= RECALL_AT)) / lists.relevant,
        "mrr": reciprocal,
    }


def placements(labels: npt.NDArray[np.floating], scores: npt.NDArray[np.floating]) -> Floats:
    """For each positive the share of negatives scored below it, for each negative the share of positives above it.

    Ties count half. The mean over either class is the AUC (DeLong et al. 1988); NaN when one class is absent.
    """
    positive = labels == 1
    result = np.full(len(labels), np.nan)
    ups, downs = np.sort(scores[positive]), np.sort(scores[~positive])
    if not len(ups) or not len(downs):
        return result
    wins = np.searchsorted(downs, scores[positive], "left") + np.searchsorted(downs, scores[positive], "right")
    losses = np.searchsorted(ups, scores[~positive], "left") + np.searchsorted(ups, scores[~positive], "right")
    result[positive] = wins / (2 * len(downs))
    result[~positive] = 1 - losses / (2 * len(ups))
    return result


def auc(labels: npt.NDArray[np.floating], scores: npt.NDArray[np.floating]) -> float:
    """Area under the ROC curve over all rows; NaN when one class is absent."""
    return float(placements(labels, scores)[labels == 1].mean()) if np.any(labels == 1) else float("nan")


def losses(labels: npt.NDArray[np.floating], scores: npt.NDArray[np.floating]) -> Floats:
    """Log loss of each probability; those at 0 or 1 are held off by float32's epsilon."""
    epsilon = float(np.finfo(np.float32).eps)
    likelihood = np.where(labels == 1, scores, 1 - scores.astype(np.float64))
    lost: Floats = -np.log(likelihood.clip(epsilon, 1 - epsilon))
    return lost


def log_loss(labels: npt.NDArray[np.floating], scores: npt.NDArray[np.floating]) -> float:
    """Mean log loss of probabilities over all rows."""
    return float(losses(labels, scores).mean())


def coverage(rows: Ranked, lists: Lists, catalogue: Mapping[str, int]) -> dict[str, float]:
    """Share of each platform's catalogue that its top-20 lists show to anyone, and of all platforms' as 'all'.

    `catalogue`: items a platform could show.
    """
    top = rows.rank <= COVERAGE_AT
    item = sorted_codes(pa.chunked_array([rows.item]))[top]
    platform = lists.platform[rows.list[top]]
    shown = np.unique(np.stack([platform, item]), axis=1)[0]
    distinct = {name: int(np.count_nonzero(shown == index)) for index, name in enumerate(lists.platforms)}
    if missing := [name for name in lists.platforms if catalogue.get(name, 0) < max(distinct[name], 1)]:
        raise ValueError(f"catalogue sizes of {missing} are missing or below the items shown. Received: {catalogue}")
    shares = {name: distinct[name] / catalogue[name] for name in lists.platforms}
    return {"all": sum(distinct.values()) / sum(catalogue[name] for name in lists.platforms)} | shares
