"""From scores to lists: order, diversity, caps, pins and exploration."""

import hashlib
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from ml.arrays import Floats, Ints, position_in_group, sorted_codes

RANKED, EXPLORED, PINNED = "ranked", "explored", "pinned"
EXPLORED_FROM, NEW_AMONG_THEM = 10, 3


@dataclass(frozen=True)
class Exploration:
    """With probability `share` the last ranked place of a list goes to one of the `EXPLORED_FROM` rows next in line.

    The list's `NEW_AMONG_THEM` best new rows come first in that line, so that what nobody knows yet is shown. Each row is as
    likely. The draw depends on `key`, the person and the platform, and on nobody else's list.
    """

    share: float
    key: str


def rerank(
    scored: pa.Table,
    list_size: int,
    max_per_category: int | None = None,
    diversity: float = 0.0,
    exploration: Exploration | None = None,
) -> pa.Table:
    """The lists of `list_size` rows: those rows of `assign_slots` that have a rank."""
    placed = assign_slots(scored, list_size, max_per_category, diversity, exploration)
    return placed.filter(pc.is_valid(placed["rank"]))


def assign_slots(
    scored: pa.Table,
    list_size: int,
    max_per_category: int | None = None,
    diversity: float = 0.0,
    exploration: Exploration | None = None,
) -> pa.Table:
    """Who has which place in the list of each (person_id, platform), and who might have had the place that explores.

    `scored` has person_id, platform, item_id, score, and any of these; its other columns pass through:

    - is_consumed, is_available: rows consumed, or not available, are left out. Null is not consumed and available.
    - category: at most `max_per_category` rows of one in a list. Null is no category, has no cap and resembles nothing.
    - is_new: comes next in line for the place that explores, before what is relevant, but for rows that are held back.
    - is_overshown: held back because it was shown often and never taken. What cap and showing leave short is filled,
      first with what the cap held back.
    - pinned_rank (integer): this row has this rank, whatever its score, which may be null, and counts for no cap. In a
      list too short for the rank it stands last.

    The others stand by marginal relevance, then score, then the smaller item_id. Marginal relevance (MMR: Carbonell &
    Goldstein 1998, doi 10.1145/290941.291025) is (1 - diversity) * relevance - diversity * similarity to the most similar
    row above. Relevance is the score, scaled so that a list's best candidate has 1 and its worst 0. Similarity is 1
    within a category and 0 otherwise: so it is 0 for the best row of each category and 1 for all others, and the greedy
    choice of rank after rank is one sort. Rows of one category always stand by score.

    Adds rank (int32, from 1; null: the row might have had the place that explores), slot (string: "ranked", "explored",
    "pinned") and propensity (double): the probability of this row at this place, given all candidates. It is 1 except at
    the place that explores, where the propensities of all that might have it add up to 1.

    Raises:
        ValueError: the score of a row that is not pinned is null, NaN or infinite.
    """
    if "is_consumed" in scored.column_names:
        scored = scored.filter(pc.invert(pc.fill_null(scored["is_consumed"], False)))
    if "is_available" in scored.column_names:
        scored = scored.filter(pc.fill_null(scored["is_available"], True))
    pin, overshown = _integers(scored, "pinned_rank"), _integers(scored, "is_overshown")
    free = np.flatnonzero(pin == 0)
    if wrong := len(free) - pc.sum(pc.is_finite(scored["score"].take(free)), min_count=0).as_py():
        raise ValueError(f"{wrong:,} of {len(free):,} scores are null, NaN or infinite; score them again")
    rows = _Rows.of(scored, free, diversity)

    line, better = rows.best_first(free, 2 * rows.list + overshown)
    beyond_cap = better >= (max_per_category or scored.num_rows)
    order = np.lexsort((beyond_cap, overshown[line], rows.list[line]))
    line, is_held_back = line[order], (beyond_cap | (overshown[line] > 0))[order]
    of, place = rows.list[line], position_in_group(rows.list[line])
    last = list_size - 1 - np.bincount(rows.list[pin > 0], minlength=rows.lists)  # the last place that no pin takes
    waits = place > last[of]
    new = np.flatnonzero(waits & ~is_held_back & (_integers(scored, "is_new")[line] > 0))
    waits[new[position_in_group(of[new]) < NEW_AMONG_THEM]] = False
    line = line[np.lexsort((place, waits, of))]
    rivals, share, drawn = _exploring(scored, rows, np.bincount(of, minlength=rows.lists) - 1 - last, last, exploration)
    at_last, rival = place == last[of], (place > last[of]) & (place <= (last + rivals)[of])
    shown = (place < last[of]) | (place == (last + drawn)[of])

    propensity, slot = np.ones(scored.num_rows), np.full(scored.num_rows, RANKED, object)
    propensity[line[at_last]] = 1 - share[of[at_last]]
    propensity[line[rival]] = share[of[rival]] / rivals[of[rival]]
    slot[line[rival]], slot[pin > 0] = EXPLORED, PINNED

    standing, _ = rows.best_first(line[shown], rows.list)
    rank = _ranks(standing[np.argsort(slot[standing] == EXPLORED, kind="stable")], pin, rows.list)
    held = np.concatenate([np.flatnonzero(rank), line[~shown & (at_last | rival)]])
    held = held[np.lexsort((np.where(rank[held], rank[held], scored.num_rows), rows.list[held]))]
    return (
        scored.take(held)
        .append_column("rank", pa.array(rank[held], pa.int32(), mask=rank[held] == 0))
        .append_column("slot", pa.array(slot[held], pa.string()))
        .append_column("propensity", pa.array(propensity[held], pa.float64()))
    )


@dataclass(frozen=True)
class _Rows:
    """What every row is, by its place in the table."""

    list: Ints  # 0, 1 ... in order of person_id and platform
    kind: Ints  # rows of a kind resemble each other; a row without category is a kind of its own
    item: Ints  # orders like item_id
    relevance: Floats
    diversity: float

    @classmethod
    def of(cls, scored: pa.Table, competing: Ints, diversity: float) -> "_Rows":
        platform = sorted_codes(scored["platform"])
        pair = sorted_codes(scored["person_id"]) * (platform.max(initial=0) + 1) + platform
        lists = np.unique(pair, return_inverse=True)[1].astype(np.int64)
        own_kind = np.arange(scored.num_rows)
        if "category" in scored.column_names:
            known = scored["category"].is_valid().to_numpy()
            own_kind = np.where(known, sorted_codes(scored["category"]), len(known) + own_kind)
        relevance = np.zeros(scored.num_rows)
        relevance[competing] = _scaled(scored["score"].take(competing).cast(pa.float64()).to_numpy(), lists[competing])
        return cls(lists, own_kind, sorted_codes(scored["item_id"]), relevance, diversity)

    @property
    def lists(self) -> int:
        return int(self.list.max(initial=-1)) + 1

    def best_first(self, rows: Ints, groups: Ints) -> tuple[Ints, Ints]:
        """`rows` by marginal relevance within each group, and how many more relevant ones of its kind each has there."""
        rows = rows[np.lexsort((self.item[rows], -self.relevance[rows], groups[rows]))]
        alike = np.lexsort((self.kind[rows], groups[rows]))
        better = np.empty(len(rows), np.int64)
        better[alike] = position_in_group(groups[rows[alike]] * (self.kind.max(initial=0) + 1) + self.kind[rows[alike]])
        value = (1 - self.diversity) * self.relevance[rows] - self.diversity * (better > 0)
        order = np.lexsort((-value, groups[rows]))
        return rows[order], better[order]


def _integers(table: pa.Table, column: str) -> Ints:
    """A column as integers; 0 for null, and where the table has no such column."""
    if column not in table.column_names:
        return np.zeros(table.num_rows, np.int64)
    values: Ints = pc.fill_null(table[column].cast(pa.int64()), 0).to_numpy()
    return values


def _scaled(score: Floats, lists: Ints) -> Floats:
    """Scores on a scale from 0 to 1 within each list; 1 where all of a list are equal."""
    high, low = np.full(lists.max(initial=-1) + 1, -np.inf), np.full(lists.max(initial=-1) + 1, np.inf)
    np.maximum.at(high, lists, score)
    np.minimum.at(low, lists, score)
    width = (high - low)[lists]
    scaled: Floats = np.where(width > 0, (score - low[lists]) / np.where(width > 0, width, 1), 1.0)
    return scaled


def _exploring(
    scored: pa.Table, rows: _Rows, below: Ints, last: Ints, exploration: Exploration | None
) -> tuple[Ints, Floats, Ints]:
    """By list: how many rivals its last place has, the probability that one gets it, and which does (0: none)."""
    none = np.zeros(rows.lists, np.int64)
    if exploration is None or not exploration.share:
        return none, none.astype(np.float64), none
    rivals = np.where(last < 0, 0, np.clip(below, 0, EXPLORED_FROM))
    share = np.where(rivals > 0, exploration.share, 0.0)
    draw = np.empty(rows.lists)
    draw[rows.list] = _uniform(scored, exploration.key)
    return rivals, share, np.where(draw < share, 1 + (rivals * draw / exploration.share).astype(np.int64), 0)


def _uniform(scored: pa.Table, key: str) -> Floats:
    """A number from [0, 1) for each row, the same for all rows of a list (SipHash of person and platform)."""
    names = pc.binary_join_element_wise(
        scored["person_id"].cast(pa.string()), scored["platform"].cast(pa.string()), "|"
    )
    hashed = pd.util.hash_array(names.to_numpy(), hash_key=hashlib.sha256(key.encode()).hexdigest()[:16])
    uniform: Floats = (hashed >> np.uint64(11)).astype(np.float64) * 2.0**-53
    return uniform


def _ranks(standing: Ints, pin: Ints, lists: Ints) -> Ints:
    """By row: its rank, 0 for none, with `standing` best first within each list and the pinned rows where they belong."""
    standing = standing[np.argsort(lists[standing], kind="stable")]
    rank = np.zeros(len(pin), np.int64)
    rank[standing] = position_in_group(lists[standing]) + 1
    for wanted in np.unique(pin[pin > 0]):
        makes_room = np.isin(lists, lists[pin == wanted])
        rank[makes_room & (rank >= wanted)] += 1
    rank[pin > 0] = pin[pin > 0]
    ranked = np.flatnonzero(rank)
    ranked = ranked[np.lexsort((rank[ranked], lists[ranked]))]
    rank[ranked] = position_in_group(lists[ranked]) + 1
    return rank
