"""FTRL with L1 for the wide part and AdaGrad for the deep part. Both change only the table rows that a batch used."""

from collections.abc import Sequence

import tensorflow as tf

from ml.ranking.network.wide_deep import WideDeep

WIDE_SQUARES, DEEP_SQUARES = 1.0, 1e-6  # what the sums of squared gradients begin with
_EPSILON = 1e-7


class Optimisers:
    """FTRL-Proximal (McMahan et al. 2013, algorithm 1) and AdaGrad (Duchi et al. 2011), with their state.

    Args:
        network: its weights are changed in place.
        wide_learning_rate: of FTRL.
        wide_l1: FTRL keeps a weight at zero until its examples together pull it by more than this.
        deep_learning_rate: of AdaGrad.
    """

    def __init__(self, network: WideDeep, wide_learning_rate: float, wide_l1: float, deep_learning_rate: float) -> None:
        self.wide_learning_rate, self.wide_l1, self.deep_learning_rate = wide_learning_rate, wide_l1, deep_learning_rate
        self.wide, self.embeddings, *self.others = (variable.value for variable in network.learned)
        self._linear = tf.Variable(tf.zeros_like(self.wide))
        self._wide_squares = tf.Variable(tf.fill(self.wide.shape, WIDE_SQUARES))
        self._embedding_squares, *self._other_squares = (
            tf.Variable(tf.fill(variable.shape, DEEP_SQUARES)) for variable in (self.embeddings, *self.others)
        )

    def apply_wide(self, gradient: tf.Tensor, rows: tf.Tensor) -> None:
        """Changes these rows of the wide table, by gradients of the rows' shape."""
        tf.raw_ops.ResourceSparseApplyFtrl(
            var=self.wide.handle,
            accum=self._wide_squares.handle,
            linear=self._linear.handle,
            grad=gradient,
            indices=rows,
            lr=self.wide_learning_rate,
            l1=self.wide_l1,
            l2=0.0,
            lr_power=-0.5,
        )

    def apply_embeddings(self, gradient: tf.Tensor, rows: tf.Tensor) -> None:
        """Changes these rows of the embeddings, by gradients of the rows' shape."""
        tf.raw_ops.ResourceSparseApplyAdagradV2(
            var=self.embeddings.handle,
            accum=self._embedding_squares.handle,
            lr=self.deep_learning_rate,
            epsilon=_EPSILON,
            grad=gradient,
            indices=rows,
        )

    def apply_others(self, gradients: Sequence[tf.Tensor]) -> None:
        """Changes all weights that are no table, by one gradient each."""
        for variable, squares, gradient in zip(self.others, self._other_squares, gradients, strict=True):
            tf.raw_ops.ResourceApplyAdagradV2(
                var=variable.handle,
                accum=squares.handle,
                lr=self.deep_learning_rate,
                epsilon=_EPSILON,
                grad=gradient,
            )


def summed_by_row(gradients: Sequence[tf.Tensor], rows: Sequence[tf.Tensor]) -> tuple[tf.Tensor, tf.Tensor]:
    """Sums the gradients of looked-up rows that are the same row of a table: the sums, and their distinct rows.

    Each gradient has the shape of its `rows` and then the shape of a table row.
    """
    distinct, position = tf.unique(tf.concat([tf.reshape(each, [-1]) for each in rows], axis=0))
    flat = [
        tf.reshape(gradient, tf.concat([[-1], tf.shape(gradient)[tf.rank(each) :]], axis=0))
        for gradient, each in zip(gradients, rows, strict=True)
    ]
    return tf.math.unsorted_segment_sum(tf.concat(flat, axis=0), position, tf.size(distinct)), distinct
