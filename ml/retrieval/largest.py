"""The largest values of each row of a dense matrix, in one fixed order."""

import numpy as np

from ml.arrays import Floats, Ints, blocks

DIGITS = 9  # of a score; the last digits of a sum depend on how many rows are multiplied at once


def largest_of_rows(values: Floats, kept: int) -> tuple[Ints, Ints]:
    """Rows and columns of the ``kept`` largest positive values of each row, largest first; of equal values the first columns.

    ``values`` (rows, columns) are rounded to `DIGITS`.
    """
    columns = values.shape[1]
    rows, of_rows = [np.empty(0, np.int64)], [np.empty(0, np.int64)]
    for block in blocks(*values.shape):  # the keys of a whole square would take more memory than the square
        own = values[block]
        # a key tells value and column, so no two keys of a row are equal, and the fast partition keeps the same ones everywhere
        keys = np.arange(columns) - np.rint(own * 10**DIGITS).astype(np.int64) * columns
        best = np.argpartition(keys, kept, axis=1)[:, :kept] if kept < columns else np.argsort(keys, axis=1)
        best = np.take_along_axis(best, np.argsort(np.take_along_axis(keys, best, axis=1), axis=1), axis=1)
        row, position = np.nonzero(np.take_along_axis(own, best, axis=1) > 0)
        rows.append(block.start + row)
        of_rows.append(best[row, position])
    return np.concatenate(rows), np.concatenate(of_rows)
