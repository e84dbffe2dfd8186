"""What training examples teach: each objective's labels and weights, and which rows are one list."""

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from ml.ranking.network.columns import numbers, strings
from ml.ranking.network.objectives import POSITIVE, Objective

Floats = npt.NDArray[np.float32]
LIST_KEYS = ("as_of", "person_id", "platform")


@dataclass(frozen=True)
class Targets:
    """What the examples teach about one objective: labels 0 or 1 and weights, both float32 (rows,)."""

    objective: Objective
    labels: Floats
    weights: Floats

    @property
    def log_odds(self) -> float:
        """Of the weighted share of positives."""
        rate = float(np.average(self.labels, weights=self.weights))
        return float(np.log(rate / (1 - rate)))


def targets_of(table: pa.Table, objective: Objective, where: str) -> Targets:
    """The labels of one objective, and its weights scaled to mean 1.

    An objective other than `positive` learns only from the platforms where it has a positive. The result's `objective` names
    them. The weights of the positives of `positive` are scaled so that positives and negatives have the same mean. So they say
    which positives count more, and scores stay probabilities.

    Raises:
        ValueError: a column is missing or unreadable, or nothing can be learned from the rows. `where` begins the message.
    """
    if objective.name != POSITIVE:
        where = f"{where}, objective '{objective.name}'"
    for column in [objective.label, *([] if objective.name == POSITIVE else ["platform"])]:
        if column not in table.column_names:
            raise ValueError(f"{where} has no column '{column}'. Received: {table.column_names}")
    labels = _labels(table, objective, where)
    weights = _example_weights(table, objective, len(labels), where)
    occurs = np.ones(len(labels), bool)
    if objective.name != POSITIVE:
        objective, occurs = _where_it_occurs(table, objective, labels * weights, where)
        weights = weights * occurs
    for label in (0, 1):
        if not weights[labels == label].any():
            raise ValueError(f"{where}: every row with label {label} weighs nothing; training needs both labels")
    if objective.label_weight in table.column_names:
        if objective.name == POSITIVE:
            of_negatives, of_positives = (weights[labels == label].mean(dtype=np.float64) for label in (0, 1))
            weights = np.where(labels == 1, weights * (of_negatives / of_positives), weights)
        weights = weights / weights[occurs].mean(dtype=np.float64)
    return Targets(objective, labels, weights)


def _labels(table: pa.Table, objective: Objective, where: str) -> Floats:
    """Raises ValueError for a label that is neither 0 nor 1, and where all labels are alike."""
    labels = numbers(table[objective.label], objective.label, where)
    if wrong := int(np.count_nonzero((labels != 0) & (labels != 1))):
        raise ValueError(
            f"{where}: {objective.label} must be 0 or 1, never null ({wrong:,} of {len(labels):,} rows are not)"
        )
    positives = int(labels.sum())
    if positives == 0:
        raise ValueError(
            f"{where}: none of {len(labels):,} rows is positive, so there is nothing to learn. "
            "Look at the horizon's events and at the candidates' recall"
        )
    if positives == len(labels):
        raise ValueError(f"{where}: all {len(labels):,} rows are positive; training needs negatives as well")
    return labels


def _example_weights(table: pa.Table, objective: Objective, rows: int, where: str) -> Floats:
    """The column of weights, or ones where there is none. Raises ValueError for a weight that is negative or not finite."""
    if objective.label_weight not in table.column_names:
        return np.ones(rows, np.float32)
    weights = numbers(table[objective.label_weight], objective.label_weight, where)
    if wrong := int(np.count_nonzero(~(np.isfinite(weights) & (weights >= 0)))):
        raise ValueError(
            f"{where}: {objective.label_weight} must be a finite number of at least 0 "
            f"({wrong:,} of {rows:,} rows are not)"
        )
    return weights


def _where_it_occurs(
    table: pa.Table, objective: Objective, positives: Floats, where: str
) -> tuple[Objective, npt.NDArray[np.bool_]]:
    """The objective with the platforms on which it has a positive, and which rows are of them."""
    platforms = strings(table["platform"], "platform", where)
    code, names = platforms.indices.to_numpy(), platforms.dictionary
    seen = names.filter(pa.array(np.bincount(code, positives) > 0)).to_pylist()
    occurs: npt.NDArray[np.bool_] = np.isin(names.to_numpy(zero_copy_only=False), seen)[code]
    return replace(objective, platforms=tuple(sorted(seen))), occurs


def list_splits(examples: pa.Table) -> npt.NDArray[np.int32]:
    """Where each list begins, and the end of the last, int32 (lists + 1,).

    Raises:
        ValueError: a column of LIST_KEYS is missing, or the rows of a list are not together.
    """
    if missing := [name for name in LIST_KEYS if name not in examples.column_names]:
        raise ValueError(f"training examples lack {missing}: a listwise loss needs the list of each row")
    keys = [examples[name].combine_chunks().dictionary_encode().indices.to_numpy() for name in LIST_KEYS]
    begins = np.flatnonzero(np.any([np.diff(key) != 0 for key in keys], axis=0)) + 1
    first = np.r_[0, begins]
    if len(np.unique(np.stack([key[first] for key in keys]), axis=1).T) < len(first):
        raise ValueError(f"training examples must be sorted by {LIST_KEYS}: some list's rows are apart")
    splits: npt.NDArray[np.int32] = np.r_[first, examples.num_rows].astype(np.int32)
    return splits
