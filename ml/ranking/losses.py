"""Losses of one objective over a batch. Labels and weights are float32 (rows,), logits float32 (rows, towers)."""

from typing import Literal

import tensorflow as tf

Loss = Literal["log_loss", "listwise"]

LOG_LOSS_SHARE = 0.2  # of the log loss beside the listwise one, so that scores stay probabilities


def batch_loss(loss: Loss, label: tf.Tensor, weight: tf.Tensor, logits: tf.Tensor, list_of: tf.Tensor) -> tf.Tensor:
    """The log loss summed over rows, or the listwise loss summed over lists plus LOG_LOSS_SHARE of the log loss.

    `list_of`, int64 (rows,), numbers the list of each row. The rows of a list are together.
    """
    of_rows = log_loss(label, weight, logits)
    return of_rows if loss == "log_loss" else LOG_LOSS_SHARE * of_rows + listwise_loss(label, weight, logits, list_of)


def log_loss(label: tf.Tensor, weight: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
    """The towers' mean log loss, weighted and summed over rows."""
    labels = tf.broadcast_to(label[:, None], tf.shape(logits))
    losses = tf.reduce_mean(tf.nn.sigmoid_cross_entropy_with_logits(labels, logits), axis=1)
    return tf.reduce_sum(weight * losses)


def listwise_loss(label: tf.Tensor, weight: tf.Tensor, logits: tf.Tensor, list_of: tf.Tensor) -> tf.Tensor:
    """ListNet's top-one loss (Cao et al. 2007, equation 4) with binary gains: the towers' mean, summed over lists.

    A list's loss is the mean of -log softmax(logits) over its positives, by their weights. A list without a positive has no
    loss.
    """
    shifted = logits - tf.gather(tf.math.segment_max(logits, list_of), list_of)
    partition = tf.math.log(tf.math.segment_sum(tf.exp(shifted), list_of))
    gains = label * weight
    surprise = gains * tf.reduce_mean(tf.gather(partition, list_of) - shifted, axis=1)
    return tf.reduce_sum(
        tf.math.divide_no_nan(tf.math.segment_sum(surprise, list_of), tf.math.segment_sum(gains, list_of))
    )
