"""Attention of a candidate to a person's newest interactions (Deep Interest Network, Zhou et al. 2018, arXiv 1706.06978)."""

from typing import NamedTuple

import tensorflow as tf


class Sequences(NamedTuple):
    """The sequences of some rows. Each distinct sequence is held once.

    Attributes:
        embeddings: float32 (sequences, LONGEST, dim), of each value.
        is_known: bool (sequences, LONGEST): the network has an embedding of this value.
        sequence_of: int32 (rows,): which sequence is this row's.
    """

    embeddings: tf.Tensor
    is_known: tf.Tensor
    sequence_of: tf.Tensor


def attended(candidates: tf.Tensor, sequences: Sequences, similarity: tf.Tensor, position: tf.Tensor) -> tf.Tensor:
    """Each row's inputs from its sequence, (rows, 2 x dim): a weighted mean m, and m times the candidate, entry by entry.

    m = sum of w_i e_i over the known values e_i of the sequence, with w = softmax(e_i' S c + p_i) for candidate c. `similarity`
    is S (dim, dim), and `position` is p (LONGEST,), from the newest value to the oldest. `candidates` are embeddings (rows, dim).
    A row whose sequence has no known value gets zeros.
    """
    keys = tf.gather(tf.matmul(sequences.embeddings, similarity), sequences.sequence_of)
    scores = tf.linalg.matvec(keys, candidates) + position
    known = tf.gather(sequences.is_known, sequences.sequence_of)
    weights = tf.nn.softmax(tf.where(known, scores, -1e9)) * tf.cast(known, tf.float32)
    mean = tf.linalg.matvec(tf.gather(sequences.embeddings, sequences.sequence_of), weights, transpose_a=True)
    return tf.concat([mean, mean * candidates], axis=1)
