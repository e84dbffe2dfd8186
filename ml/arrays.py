"""Array helpers that every room of `ml` shares."""

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]

CELLS_AT_ONCE = 2_000_000  # of a dense block of persons times products


def positions_in(names: pa.ChunkedArray, among: pa.Array | pa.ChunkedArray) -> Ints:
    """The position of each name in `among`, int64 (names,). -1: the name is not there."""
    found: Ints = pc.index_in(names, among).fill_null(-1).to_numpy().astype(np.int64)
    return found


def blocks(rows: int, columns: int) -> list[slice]:
    """Slices that hold all rows once. A slice times `columns` has at most `CELLS_AT_ONCE` cells, or is one row."""
    step = max(1, CELLS_AT_ONCE // max(1, columns))
    return [slice(start, min(start + step, rows)) for start in range(0, rows, step)]


def sorted_codes(column: pa.ChunkedArray) -> Ints:
    """Integers in the order of the column's values, int64 (rows,). Equal values have equal integers."""
    distinct = pc.unique(column)
    return positions_in(column, distinct.take(pc.sort_indices(distinct)))


def position_in_group(groups: Ints) -> Ints:
    """0, 1, 2 ... within each run of equal values, int64 like `groups`."""
    starts = np.flatnonzero(np.r_[True, groups[1:] != groups[:-1]]) if len(groups) else np.empty(0, np.int64)
    lengths = np.diff(np.r_[starts, len(groups)])
    return np.arange(len(groups), dtype=np.int64) - np.repeat(starts, lengths)
