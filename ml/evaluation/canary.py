"""The canary for leaks: how far one feature by itself tells the labels apart.

A feature that was known before the labels happened never does so nearly perfectly; one that reads the future does.
"""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ml.arrays import Floats, Ints
from ml.evaluation.metrics import auc

ENOUGH = 20  # persons with a positive; of one avid person alone, any fact about that person would tell the positives
PRIOR = 10  # examples with the mean label that are added to each category's own


def aucs_alone(examples: pa.Table, numeric: Sequence[str], categorical: Sequence[str]) -> dict[str, float]:
    """AUC (0..1) of each feature of ``examples`` if the feature itself is the score. Empty with too few positives.

    ``examples`` has person_id, label and the features. A missing number counts as lower than any other. A category's score
    is its mean label among the other half of the persons, minus the mean label of that half.
    """
    labels = pc.fill_null(examples["label"], 0).to_numpy().astype(np.float64)
    persons = _codes(examples["person_id"])
    if len(np.unique(persons[labels == 1])) < ENOUGH or labels.all():
        return {}
    half = persons % 2
    scores = {name: _numbers(examples[name]) for name in numeric if name in examples.column_names}
    for name in categorical:
        if name in examples.column_names:
            scores[name] = _label_elsewhere(_codes(examples[name]), labels, half)
    return {name: auc(labels, score) for name, score in scores.items()}


def _numbers(column: pa.ChunkedArray) -> Floats:
    numbers: Floats = pc.fill_null(column.cast(pa.float64()), -np.inf).to_numpy()
    return numbers


def _codes(column: pa.ChunkedArray) -> Ints:
    """The same number for the same value. Null is a value too."""
    encoded = column.combine_chunks().dictionary_encode(null_encoding="encode")
    codes: Ints = encoded.indices.to_numpy().astype(np.int64)
    return codes


def _label_elsewhere(codes: Ints, labels: Floats, half: Ints) -> Floats:
    above = np.zeros(len(labels))
    for one in (0, 1):
        there, count = half != one, codes.max() + 1
        seen = np.bincount(codes[there], minlength=count)
        summed = np.bincount(codes[there], labels[there], minlength=count)
        overall = labels[there].mean() if there.any() else 0.0
        # minus the mean: otherwise the half with more positives would get lower scores for unknown categories
        above[~there] = ((summed - seen * overall) / (seen + PRIOR))[codes[~there]]
    return above
