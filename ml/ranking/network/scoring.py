"""Scores of candidates: an Arrow table of raw columns in, an array of scores out."""

import keras
import numpy as np
import pyarrow as pa

from .columns import encode, numbers, strings
from .features import FeatureSpec
from .number_inputs import Floats
from .objectives import shares_on
from .wide_deep import WideDeep, network_of


def score(
    model: keras.Model,
    spec: FeatureSpec,
    candidates: pa.Table,
    objective: str | None = None,
    batch_size: int = 16_384,
) -> Floats:
    """What each candidate is ranked by, float32 (rows,): what `model.predict` on the raw columns gives, only faster.

    With `objective` it is the probability of that objective alone.

    Raises:
        ValueError: `candidates` lacks a column, the model did not learn the objective or has other features than `spec`, or
            a score is not finite.
    """
    network = network_of(model)
    if network.spec != spec:
        raise ValueError(
            f"the model was trained with other features than it is asked to score: {network.spec.columns} "
            f"against {spec.columns}"
        )
    encoded, weights = encode(candidates, spec, "candidates"), _weights(network, candidates, objective)
    scores = np.empty(candidates.num_rows, np.float32)
    for start in range(0, candidates.num_rows, batch_size):
        rows = slice(start, start + batch_size)
        batch = encoded.batch(rows)
        scores[rows] = network.score_batch(batch.fingerprints, batch.numbers, weights[rows], batch.sequences).numpy()
    if wrong := int(np.count_nonzero(~np.isfinite(scores))):
        raise ValueError(f"the model gives {wrong:,} of {len(scores):,} candidates no finite score; do not use it")
    return scores


def not_finite(candidates: pa.Table, spec: FeatureSpec) -> dict[str, int]:
    """Number of rows in which each numeric feature is NaN or infinite, for the features with such rows. Null is neither."""
    wrong = {
        name: int(np.count_nonzero(~np.isfinite(numbers(candidates[name], name, "candidates"))))
        - candidates[name].null_count
        for name in spec.numeric
    }
    return {name: rows for name, rows in wrong.items() if rows}


def _weights(network: WideDeep, candidates: pa.Table, objective: str | None) -> Floats:
    """What each objective counts in the score of each candidate, float32 (rows, objectives)."""
    names = [each.name for each in network.objectives]
    if objective is not None:
        if objective not in names:
            raise ValueError(f"the model did not learn objective '{objective}'. It learned: {names}")
        return np.tile(np.array([name == objective for name in names], np.float32), (candidates.num_rows, 1))
    if len(names) == 1:
        return np.ones((candidates.num_rows, 1), np.float32)
    if "platform" not in candidates.column_names:
        raise ValueError(f"candidates lack column 'platform', by which the objectives {names} are weighed")
    platforms = strings(candidates["platform"], "platform", "candidates")
    shares = shares_on(network.objectives, platforms.dictionary.to_pylist())
    weights: Floats = np.take(shares, platforms.indices.to_numpy(), axis=0)
    return weights
