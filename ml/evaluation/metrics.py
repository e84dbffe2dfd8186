"""Ranking metrics of one contender, list by list, and the pooled ones.

A list is what a contender shows one person on one platform. Only lists with something to find are judged: the pairs
(person_id, platform) of `relevant`, whose count includes the positives no contender retrieved. A contender without a
list for such a pair finds nothing there and scores 0. Ties in score go to the smaller item_id.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from ml.arrays import Flags, Floats, Ints, position_in_group, positions_in, sorted_codes

TOP = 10
RECALL_AT = 20
COVERAGE_AT = 20
CALIBRATION_BINS = 10


@dataclass(frozen=True)
class Lists:
    """The judged pairs, in the order every array of per-list values follows."""

    person: Ints  # index into persons, by list
    platform: Ints  # index into platforms, by list
    relevant: Ints  # positives to find, at least 1, by list
    persons: pa.Array
    platforms: list[str]
    positives_popularity: Floats | None = None  # mean popularity of the positives, by list
    cohorts: Mapping[str, Flags] = field(default_factory=dict)  # whether a list is in it, by list
    relevant_new: Floats | None = None  # positives to find that are new on offer, by list

    @classmethod
    def from_table(cls, relevant: pa.Table) -> "Lists":
        """From columns person_id, platform, relevant: one row per pair. Pairs with nothing to find are left out.

        Optional: `popularity`, the mean of the positives' (see `popularity_shown`); `relevant_new`, how many of them are
        new on offer. Every further column of text sorts the people into cohorts, each named "<column>: <value>"; null is
        in none.
        """
        relevant = relevant.filter(pc.greater(relevant["relevant"], 0))
        if not relevant.num_rows:
            raise ValueError("no person has a positive in the evaluation window; there is nothing to evaluate")
        persons = pc.unique(relevant["person_id"]).sort()
        platforms = pc.unique(relevant["platform"]).sort()
        lists = cls(
            positions_in(relevant["person_id"], persons),
            positions_in(relevant["platform"], platforms),
            relevant["relevant"].to_numpy().astype(np.int64),
            persons,
            platforms.to_pylist(),
            _numbers(relevant, "popularity"),
            _cohorts(relevant),
            _numbers(relevant, "relevant_new"),
        )
        if repeated := relevant.num_rows - len(np.unique(lists._keys())):
            raise ValueError(f"`relevant` must have one row per (person_id, platform); {repeated:,} rows repeat one")
        return lists

    def _keys(self) -> Ints:
        return self.person * len(self.platforms) + self.platform

    def find(self, table: pa.Table) -> Ints:
        """The list of each row of `table` by its person_id and platform; -1 where the pair is not judged."""
        person = positions_in(table["person_id"], self.persons)
        platform = positions_in(table["platform"], pa.array(self.platforms, self.platform_type(table)))
        order = np.argsort(self._keys())
        sorted_keys = self._keys()[order]
        wanted = np.where((person < 0) | (platform < 0), -1, person * len(self.platforms) + platform)
        place = np.searchsorted(sorted_keys, wanted).clip(max=len(order) - 1)
        return np.where(sorted_keys[place] == wanted, order[place], -1)

    @staticmethod
    def platform_type(table: pa.Table) -> pa.DataType:
        kind = table["platform"].type
        return kind.value_type if pa.types.is_dictionary(kind) else kind


def _cohorts(relevant: pa.Table) -> dict[str, Flags]:
    columns = [
        entry.name
        for entry in relevant.schema
        if entry.name not in ("person_id", "platform") and pa.types.is_string(entry.type)
    ]
    return {
        f"{name}: {value}": pc.fill_null(pc.equal(relevant[name], value), False).to_numpy()
        for name in columns
        for value in pc.unique(relevant[name]).sort().drop_null().to_pylist()
    }


def _numbers(table: pa.Table, column: str) -> Floats | None:
    """A column as floats, NaN for null; None where the table has no such column."""
    if column not in table.column_names:
        return None
    numbers: Floats = table[column].cast(pa.float64()).to_numpy()
    return numbers


@dataclass(frozen=True)
class Ranked:
    """A contender's judged rows, best first within each list."""

    list: Ints  # index into Lists, ascending
    rank: Ints  # 1 is best
    label: Floats
    score: Floats
    probability: Floats
    item: pa.Array
    category: Ints | None = None  # -1 is unknown
    popularity: Floats | None = None  # NaN is unknown
    is_new: Flags | None = None


def ranked(scored: pa.Table, lists: Lists, contender: str = "contender") -> Ranked:
    """Sorts a contender's table (person_id, platform, item_id, score, label) into the judged lists.

    Optional: `probability` of a positive, where the score is another; `category`; `popularity`, an item's share of its
    platform's events, above 0; `is_new`, whether it was new on offer, null reading as not.

    Raises ValueError for a score that is null or not finite, a label other than 0 or 1, an item twice in a list, or
    more positives in a list, or more new ones, than `relevant` knows of.
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
    category = popularity = is_new = None
    if "is_new" in scored.column_names:
        is_new = pc.fill_null(scored["is_new"], False).to_numpy()[order]
        new = np.bincount(where, label * is_new, minlength=len(lists.relevant))
        if lists.relevant_new is not None and np.any(new > lists.relevant_new):
            raise ValueError(f"{contender}: some list has more new positives than `relevant_new` counts for it")
    if "category" in scored.column_names:
        unknown = scored["category"].is_null().to_numpy()
        category = np.where(unknown, -1, sorted_codes(scored["category"]))[order]
    if (numbers := _numbers(scored, "popularity")) is not None:
        if wrong := int(np.count_nonzero((numbers <= 0) | (numbers > 1))):
            raise ValueError(
                f"{contender}: {wrong:,} of {len(numbers):,} popularities are no share above 0 and up to 1"
            )
        popularity = numbers[order]
    items, score = scored["item_id"].take(order), score[order]
    probability = _numbers(scored.take(order), "probability")
    probability = score if probability is None else probability
    return Ranked(where, position_in_group(where) + 1, label, score, probability, items, category, popularity, is_new)


def by_list(rows: Ranked, lists: Lists) -> dict[str, Floats]:
    """The metrics that every judged list has by itself. NaN: the list has none, and is left out of the mean.

    With r the number of relevant items, retrieved or not, and h the hits among the first ten:

    - ndcg_at_10: Järvelin & Kekäläinen 2002 with binary gains, the ideal over all r;
    - precision_at_10 = h / 10, also of a shorter list; recall_at_20 = hits among the first twenty / r;
    - f1_at_10 = 2h / (10 + r), the harmonic mean of precision and recall at 10 (van Rijsbergen 1979);
    - map_at_10: the precision at the rank of each hit, summed and divided by min(r, 10) (Manning et al. 2008, ch. 8,
      of ten items, so that 1 can be reached);
    - new_item_recall_at_20: the same recall of the items that were new on offer alone, where any is relevant;
    - mrr: one over the rank of the first hit, in the whole list;
    - novelty: mean -log2 of the popularity of the first ten (self-information: Zhou et al. 2010, doi
      10.1073/pnas.1000488107), where popularity is known;
    - intra_list_diversity: share of the pairs of the first ten whose category differs (Smyth & McClure 2001, with a
      distance of 0 or 1), where category is known.
    """
    count = len(lists.relevant)

    def summed(values: Floats) -> Floats:
        return np.bincount(rows.list, values, minlength=count).astype(np.float64)

    top = rows.rank <= TOP
    discounts = 1 / np.log2(np.arange(2, TOP + 2))
    ideal = np.cumsum(discounts)[np.minimum(lists.relevant, TOP) - 1]
    gains = np.where(top, rows.label / np.log2(rows.rank + 1), 0.0)
    found = summed(rows.label * top)
    precisions = np.where(top, rows.label * _hits_so_far(rows) / rows.rank, 0.0)
    reciprocal = np.zeros(count)
    hits = rows.label == 1
    np.maximum.at(reciprocal, rows.list[hits], 1 / rows.rank[hits])
    values = {
        f"ndcg_at_{TOP}": summed(gains) / ideal,
        f"recall_at_{RECALL_AT}": summed(rows.label * (rows.rank <= RECALL_AT)) / lists.relevant,
        f"precision_at_{TOP}": found / TOP,
        f"f1_at_{TOP}": 2 * found / (TOP + lists.relevant),
        f"map_at_{TOP}": summed(precisions) / np.minimum(lists.relevant, TOP),
        "mrr": reciprocal,
    }
    if rows.is_new is not None and lists.relevant_new is not None:
        with np.errstate(invalid="ignore"):
            new_hits = summed(rows.label * rows.is_new * (rows.rank <= RECALL_AT))
            values[f"new_item_recall_at_{RECALL_AT}"] = new_hits / lists.relevant_new
    if rows.popularity is not None:
        values["novelty"] = _mean_of_top(rows, -np.log2(rows.popularity), count)
    if rows.category is not None:
        values["intra_list_diversity"] = _diversity(rows.list[top], rows.category[top], count)
    return values


def _hits_so_far(rows: Ranked) -> Floats:
    """Positives at or above each row of its list."""
    running = np.cumsum(rows.label)
    hits: Floats = running - np.concatenate([[0.0], running])[np.arange(len(running)) - rows.rank + 1]
    return hits


def _mean_of_top(rows: Ranked, values: Floats, count: int) -> Floats:
    """By list, the mean over the first ten of the values that are known; NaN where none is."""
    held = (rows.rank <= TOP) & ~np.isnan(values)
    with np.errstate(invalid="ignore"):
        mean: Floats = np.bincount(rows.list[held], values[held], count) / np.bincount(rows.list[held], minlength=count)
    return mean


def _diversity(where: Ints, category: Ints, count: int) -> Floats:
    """By list, the share of its pairs with different categories; NaN where it has no pair."""
    known = category >= 0
    categories = int(category.max(initial=0)) + 1
    key, alike = np.unique(where[known] * categories + category[known], return_counts=True)
    place = key // categories
    items = np.bincount(place, alike, count)
    with np.errstate(invalid="ignore"):
        diversity: Floats = 1 - np.bincount(place, alike * (alike - 1), count) / (items * (items - 1))
    return diversity


def popularity_shown(rows: Ranked, lists: Lists) -> Floats | None:
    """By list, the mean popularity of the first ten; NaN where none is known, None where the contender tells none.

    Its mean divided by that of `Lists.positives_popularity`, minus one, is the popularity lift: 0 shows items as popular as
    those that people chose, 1 twice as popular. Abdollahpouri et al. 2020 (doi 10.1145/3383313.3418487) compare lists with profiles so;
    here what was held out stands for the profile.
    """
    return None if rows.popularity is None else _mean_of_top(rows, rows.popularity, len(lists.relevant))


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


def calibration_error(labels: npt.NDArray[np.floating], scores: npt.NDArray[np.floating]) -> float:
    """Expected calibration error: the gap between mean probability and share of positives, over ten bins.

    Bins hold equally many rows (but equal probabilities share one) and weigh by them: Nguyen & O'Connor 2015, doi
    10.18653/v1/D15-1182. Bins of equal width would put nearly all of our small probabilities in one.
    """
    edges = np.quantile(scores, np.linspace(0, 1, CALIBRATION_BINS + 1)[1:-1])
    gaps = np.bincount(np.searchsorted(edges, scores), scores.astype(np.float64) - labels)
    return float(np.abs(gaps).sum() / len(scores))


def coverage(rows: Ranked, lists: Lists, catalogue: Mapping[str, int]) -> dict[str, float]:
    """Share of each platform's catalogue that its top-20 lists show to anyone, and of all platforms' as 'all'.

    `catalogue`: items a platform could show. One that could show nothing has no share, and counts for nothing in 'all'.

    Raises ValueError where lists show more than there was.
    """
    top = rows.rank <= COVERAGE_AT
    item = sorted_codes(pa.chunked_array([rows.item]))[top]
    platform = lists.platform[rows.list[top]]
    shown = np.unique(item * len(lists.platforms) + platform) % len(lists.platforms)
    distinct = {name: int(np.count_nonzero(shown == index)) for index, name in enumerate(lists.platforms)}
    sizes = {name: catalogue.get(name, 0) for name in lists.platforms}
    if missing := [name for name, size in sizes.items() if size < distinct[name]]:
        raise ValueError(f"catalogue sizes of {missing} are missing or below the items shown. Received: {catalogue}")
    sizes["all"], distinct["all"] = sum(sizes.values()), sum(distinct.values())
    return {name: distinct[name] / size for name, size in sizes.items() if size}
