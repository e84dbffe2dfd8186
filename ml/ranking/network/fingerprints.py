"""64-bit fingerprints of text. A fingerprint is the same on every machine and in every version.

The chance that two of a million values share one is 1 in 20 million.
"""

from collections.abc import Sequence
from functools import reduce

import numpy as np
import numpy.typing as npt
import tensorflow as tf

Fingerprints = npt.NDArray[np.int64]

LONGEST = 50  # the network reads this many of a sequence's newest values
_HASH_RANGE = 2**63 - 1
_MULTIPLIER = 0xC6A4A7935BD1E995  # of TensorFlow's FingerprintCat64


def fingerprint(strings: tf.Tensor) -> tf.Tensor:
    """FarmHash fingerprint of each string, int64 of the same shape."""
    return tf.strings.to_hash_bucket_fast(strings, _HASH_RANGE)


def value_fingerprints(features: Sequence[str], fingerprints: tf.Tensor) -> tf.Tensor:
    """Fingerprints of the pairs (feature, value), int64 (rows, columns).

    `fingerprints`, int64 (rows, columns), are those of the values alone. `features` names the feature of each column; one
    name stands for all columns.
    """
    names = tf.bitcast(fingerprint(tf.constant(features, tf.string)), tf.uint64)
    return _non_negative(_concatenated(tf.bitcast(fingerprints, tf.uint64), names))


def tuple_fingerprints(columns: Sequence[Sequence[int]], fingerprints: tf.Tensor) -> tf.Tensor:
    """Fingerprints of tuples of values, int64 (rows, tuples).

    `fingerprints` is int64 (rows, columns). `columns` says of each tuple which columns it is made of, in order.
    """
    parts = tf.unstack(tf.bitcast(fingerprints, tf.uint64), num=fingerprints.shape[1], axis=1)
    return _non_negative(tf.stack([reduce(_concatenated, [parts[at] for at in own]) for own in columns], axis=1))


def sequence_fingerprints(sequences: tf.Tensor) -> tf.Tensor:
    """Fingerprints of the newest values of each sequence, int64 (sequences, LONGEST).

    A sequence is text: values joined by `|`, the newest first. A shorter sequence ends in zeros.
    """
    values = tf.strings.split(sequences, "|")
    values = tf.ragged.boolean_mask(values, values != "")[:, :LONGEST]
    return tf.ragged.map_flat_values(fingerprint, values).to_tensor(0, shape=(None, LONGEST))


def _shift_mix(value: tf.Tensor) -> tf.Tensor:
    return tf.bitwise.bitwise_xor(value, tf.bitwise.right_shift(value, tf.constant(47, tf.uint64)))


def _concatenated(first: tf.Tensor, second: tf.Tensor) -> tf.Tensor:
    """Fingerprint of each ordered pair of uint64 fingerprints: TensorFlow's FingerprintCat64."""
    multiplier = tf.constant(_MULTIPLIER, tf.uint64)
    result = tf.bitwise.bitwise_xor(first, multiplier)
    result = tf.bitwise.bitwise_xor(result, _shift_mix(second * multiplier) * multiplier) * multiplier
    return _shift_mix(_shift_mix(result) * multiplier)


def _non_negative(fingerprints: tf.Tensor) -> tf.Tensor:
    return tf.bitcast(tf.bitwise.right_shift(fingerprints, tf.constant(1, tf.uint64)), tf.int64)
