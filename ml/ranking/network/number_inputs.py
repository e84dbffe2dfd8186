"""What the deep towers read of a number: its place in the training distribution, its logarithm, and whether it is missing."""

import numpy as np
import numpy.typing as npt
import tensorflow as tf

Floats = npt.NDArray[np.float32]

QUANTILES = 128


def distributions(numbers: Floats) -> tuple[Floats, Floats]:
    """Each column's quantiles (columns, QUANTILES), and mean and standard deviation of its signed logarithms (columns, 2).

    `numbers` is float32 (rows, columns). NaN and infinity are left out. A column without any finite number has zeros as
    quantiles, mean 0 and deviation 1. The deviation of a constant column is 1, too.
    """
    quantiles = np.zeros((numbers.shape[1], QUANTILES), np.float32)
    moments = np.tile(np.array([0, 1], np.float32), (numbers.shape[1], 1))
    for position, column in enumerate(numbers.T):
        finite = column[np.isfinite(column)]
        if finite.size:
            quantiles[position] = np.quantile(finite, np.linspace(0, 1, QUANTILES), method="nearest")
            logs = np.sign(finite) * np.log1p(np.abs(finite.astype(np.float64)))
            moments[position] = logs.mean(), logs.std() or 1.0
    return quantiles, moments


def normalised(numbers: tf.Tensor, quantiles: tf.Tensor, moments: tf.Tensor) -> tf.Tensor:
    """Raw numbers float32 (rows, columns) -> inputs of the deep towers (rows, 3 x columns).

    The first third is the empirical distribution function P(X <= x), scaled to -1 .. 1 (Cheng et al. 2016, section 4.1).
    The second is (sign(x) log(1 + |x|) - mean) / deviation. The last is 1 where the number is missing (NaN), else 0; the
    other two are 0 there. A number beyond the training range counts as the end of that range.
    """
    missing = tf.math.is_nan(numbers)
    low, high = quantiles[:, 0], quantiles[:, -1]
    clipped = tf.clip_by_value(tf.where(missing, low, numbers), low, high)
    position = tf.searchsorted(quantiles, tf.transpose(clipped), side="right")
    distribution = tf.transpose(tf.cast(position, tf.float32)) / QUANTILES * 2.0 - 1.0
    logs = (tf.sign(clipped) * tf.math.log1p(tf.abs(clipped)) - moments[:, 0]) / moments[:, 1]
    present = tf.cast(~missing, tf.float32)
    return tf.concat([distribution * present, logs * present, 1.0 - present], axis=1)
