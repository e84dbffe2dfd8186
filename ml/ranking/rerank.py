"""From scores to lists in three steps: rank the candidates, explore with the last slot, pin what people decided."""

import hashlib
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from ml.arrays import Flags, Floats, Ints, position_in_group, sorted_codes

RANKED, EXPLORED, PINNED = "ranked", "explored", "pinned"
EXPLORED_FROM, NEW_AMONG_THEM = 10, 3


@dataclass(frozen=True)
class Exploration:
    """How lists explore.

    The exploration slot is the last slot of a list that no pin fills. With probability `share` it shows one of the
    `EXPLORED_FROM` rows that are next in line, each with the same probability. Up to `NEW_AMONG_THEM` new rows stand first in that
    line, so that what nobody knows yet is shown. The draw depends on `key`, the person and the platform, and on nobody else's list.
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
    """Assign the slots of the list of each (person_id, platform), and keep the rows that the exploration slot might have shown.

    `scored` has person_id, platform, item_id and score. It may have the columns below. Its other columns pass through.

    - is_consumed, is_available: rows that are consumed, or not available, are left out. Null is not consumed and available.
    - category: a list has at most `max_per_category` rows of one category. Null is no category: it has no cap and is similar to
      nothing.
    - is_new: new rows are next in line for the exploration slot, unless they are held back.
    - is_overshown: the row is held back, because it was shown often and the person wanted it never. Where cap and overshown rows leave a
      list short, it is filled, first with the rows that the cap held back.
    - pinned_rank (integer): the row has this rank, whatever its score, which may be null. It counts for no cap. In a list that is too
      short for the rank, it is the last row.

    Rows that are not pinned stand in order of marginal relevance, then score, then the smaller item_id. Marginal relevance (MMR:
    Carbonell & Goldstein 1998, doi 10.1145/290941.291025) is (1 - diversity) * relevance - diversity * similarity to the most similar
    row above. Relevance is the score, scaled so that a list's best candidate has 1 and its worst 0. Similarity is 1 within a category
    and 0 otherwise. So it is 0 for the best row of each category and 1 for all others, and the greedy choice of rank after rank is one
    sort. Rows of one category always stand by score.

    Adds rank (int32, from 1; null where the exploration slot might have shown the row and did not), slot (string: "ranked", "explored",
    "pinned") and propensity (double): the probability of this row in this slot, given all candidates. It is 1 except in the exploration
    slot, where the propensities of all rows that it might show add up to 1.

    Raises:
        ValueError: the score of a row that is not pinned is null, NaN or infinite.
    """
    scored = _showable(scored)
    pin, free = _pins(scored)
    rows = _Rows.of(scored, free, diversity)
    line = _rank(rows, free, _integers(scored, "is_overshown"), max_per_category or scored.num_rows)
    last = list_size - 1 - np.bincount(rows.list[pin > 0], minlength=rows.lists)
    drawn = _explore(line.with_new_next(_integers(scored, "is_new"), last), last, _draws(scored, rows, exploration))
    standing, _ = rows.best_first(drawn.row[drawn.is_shown], rows.list)
    explored = np.isin(standing, drawn.row[drawn.is_rival])
    rank = _pin(standing[np.argsort(explored, kind="stable")], pin, rows.list)
    return _with_slots(scored, rows, rank, pin, drawn)


# --- what is to be ranked


def _showable(scored: pa.Table) -> pa.Table:
    if "is_consumed" in scored.column_names:
        scored = scored.filter(pc.invert(pc.fill_null(scored["is_consumed"], False)))
    if "is_available" in scored.column_names:
        scored = scored.filter(pc.fill_null(scored["is_available"], True))
    return scored


def _pins(scored: pa.Table) -> tuple[Ints, Ints]:
    """The pinned rank of each row, 0 for none, and the numbers of the rows that are not pinned, whose scores are all finite."""
    pin = _integers(scored, "pinned_rank")
    free = np.flatnonzero(pin == 0)
    if wrong := len(free) - pc.sum(pc.is_finite(scored["score"].take(free)), min_count=0).as_py():
        raise ValueError(f"{wrong:,} of {len(free):,} scores are null, NaN or infinite; score them again")
    return pin, free


@dataclass(frozen=True)
class _Rows:
    """What is known of every row, by its number in the table."""

    list: Ints  # 0, 1 ... in order of person_id and platform
    kind: Ints  # rows of a kind are similar; a row without category is a kind of its own
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
        """`rows` by marginal relevance within each group, and how many more relevant rows of its kind each has there."""
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


# --- rank


@dataclass(frozen=True)
class _Line:
    """The rows of every list that are not pinned, in the order in which they get slots; lists stand one after the other."""

    row: Ints  # its number in the table
    list: Ints
    is_held_back: Flags

    @property
    def place(self) -> Ints:
        """0, 1 ... within each list."""
        return position_in_group(self.list)

    def with_new_next(self, is_new: Ints, last: Ints) -> "_Line":
        """The line with up to `NEW_AMONG_THEM` new rows first among those that stand behind place `last` of their list."""
        waits = self.place > last[self.list]
        new = np.flatnonzero(waits & ~self.is_held_back & (is_new[self.row] > 0))
        waits[new[position_in_group(self.list[new]) < NEW_AMONG_THEM]] = False
        order = np.lexsort((self.place, waits, self.list))
        return _Line(self.row[order], self.list, self.is_held_back[order])


def _rank(rows: _Rows, free: Ints, overshown: Ints, cap: int) -> _Line:
    """The `free` rows best first, then those beyond the cap of their kind, then those that were shown too often."""
    line, better = rows.best_first(free, 2 * rows.list + overshown)
    beyond_cap = better >= cap
    order = np.lexsort((beyond_cap, overshown[line], rows.list[line]))
    is_held_back = (beyond_cap | (overshown[line] > 0))[order]
    return _Line(line[order], rows.list[line[order]], is_held_back)


# --- explore


@dataclass(frozen=True)
class _Draws:
    """One draw for each list: a number from [0, 1), and the probability that the exploration slot explores."""

    share: float
    number: Floats


@dataclass(frozen=True)
class _Drawn:
    """What the draws make of a line. `is_rival`: the exploration slot might show the row instead of the one whose turn it is."""

    row: Ints
    is_shown: Flags
    is_rival: Flags
    might_be_shown: Flags  # in the exploration slot
    propensity: Floats


def _draws(scored: pa.Table, rows: _Rows, exploration: Exploration | None) -> _Draws:
    number = np.ones(rows.lists)
    if exploration is None or not exploration.share:
        return _Draws(0.0, number)
    number[rows.list] = _uniform(scored, exploration.key)
    return _Draws(exploration.share, number)


def _uniform(scored: pa.Table, key: str) -> Floats:
    """A number from [0, 1) for each row, the same for all rows of a list (SipHash of person and platform)."""
    names = pc.binary_join_element_wise(
        scored["person_id"].cast(pa.string()), scored["platform"].cast(pa.string()), "|"
    )
    hashed = pd.util.hash_array(names.to_numpy(), hash_key=hashlib.sha256(key.encode()).hexdigest()[:16])
    uniform: Floats = (hashed >> np.uint64(11)).astype(np.float64) * 2.0**-53
    return uniform


def _explore(line: _Line, last: Ints, draws: _Draws) -> _Drawn:
    """Show the first rows of each line up to place `last`, and there, where the draw says so, one of the rivals behind it.

    Where `last` is negative, pins fill the list. A list without rivals never explores.
    """
    behind = np.bincount(line.list, minlength=len(last)) - 1 - last
    rivals = np.where((last < 0) | (draws.share == 0), 0, np.clip(behind, 0, EXPLORED_FROM))
    share = np.where(rivals > 0, draws.share, 0.0)
    chosen = np.zeros(len(last), np.int64)  # 0: the row whose turn it is; 1, 2 ...: that rival
    explores = draws.number < share
    chosen[explores] = 1 + (rivals[explores] * draws.number[explores] / draws.share).astype(np.int64)

    of, place = line.list, line.place
    is_last = place == last[of]
    is_rival = (place > last[of]) & (place <= (last + rivals)[of])
    propensity = np.ones(len(place))
    propensity[is_last] = 1 - share[of[is_last]]
    propensity[is_rival] = share[of[is_rival]] / rivals[of[is_rival]]
    is_shown = (place < last[of]) | (place == (last + chosen)[of])
    return _Drawn(line.row, is_shown, is_rival, is_last | is_rival, propensity)


# --- pin


def _pin(standing: Ints, pin: Ints, lists: Ints) -> Ints:
    """The rank of each row, 0 for none: `standing` in its order within each list, and the pinned rows at their ranks."""
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


def _with_slots(scored: pa.Table, rows: _Rows, rank: Ints, pin: Ints, drawn: _Drawn) -> pa.Table:
    """The rows with a rank, in order of list and rank, and after those of each list the ones that it might have explored."""
    propensity, slot = np.ones(scored.num_rows), np.full(scored.num_rows, RANKED, object)
    propensity[drawn.row] = drawn.propensity
    slot[drawn.row[drawn.is_rival]], slot[pin > 0] = EXPLORED, PINNED
    kept = np.concatenate([np.flatnonzero(rank), drawn.row[~drawn.is_shown & drawn.might_be_shown]])
    kept = kept[np.lexsort((np.where(rank[kept], rank[kept], scored.num_rows), rows.list[kept]))]
    return (
        scored.take(kept)
        .append_column("rank", pa.array(rank[kept], pa.int32(), mask=rank[kept] == 0))
        .append_column("slot", pa.array(slot[kept], pa.string()))
        .append_column("propensity", pa.array(propensity[kept], pa.float64()))
    )
