"""One pass over all training examples as a single call of a TensorFlow graph."""

from collections.abc import Sequence
from typing import NamedTuple

import tensorflow as tf

from ml.ranking.losses import Loss, batch_loss
from ml.ranking.network.attention import Sequences
from ml.ranking.network.number_inputs import normalised
from ml.ranking.network.objectives import POSITIVE
from ml.ranking.network.wide_deep import UNSEEN, WideDeep
from ml.ranking.optimisers import Optimisers, summed_by_row


class ExampleTensors(NamedTuple):
    """All training examples.

    Attributes:
        table_rows: int32 (rows, categorical features and then crosses), as `WideDeep.table_rows` gives them.
        numbers: raw, float32 (rows, numeric features).
        labels, weights: float32 (rows, objectives).
        sequences: for each sequence feature the embedding rows of its distinct sequences, int32 (sequences, LONGEST), and
            which of them is each row's, int32 (rows,).
        splits: where each list begins, and the end of the last, int32 (lists + 1,). With the log loss each row is a list.
    """

    table_rows: tf.Tensor
    numbers: tf.Tensor
    labels: tf.Tensor
    weights: tf.Tensor
    sequences: Sequence[tuple[tf.Tensor, tf.Tensor]]
    splits: tf.Tensor


class TrainingPass:
    """Teaches the network every example once. Batches hold whole lists. The graph cuts them, so that Python never waits.

    Args:
        network: its weights are changed in place.
        optimisers: of this network.
        loss: which loss each objective has.
        batch_size: about so many rows. A longer list is a batch of its own.
        embedding_l2: each example adds this times the squares of its embeddings to what is minimised.
    """

    def __init__(
        self, network: WideDeep, optimisers: Optimisers, loss: Loss, batch_size: int, embedding_l2: float
    ) -> None:
        self.network, self.optimisers, self.loss = network, optimisers, loss
        self.batch_size, self.embedding_l2 = batch_size, embedding_l2
        [of_positive] = [objective.weight for objective in network.objectives if objective.name == POSITIVE]
        self.shares = [objective.weight / of_positive for objective in network.objectives]
        self._compiled = tf.function(self._all_batches)

    def run(self, examples: ExampleTensors, order: tf.Tensor) -> float:
        """Teaches the lists in this `order`, int32 (lists,), and returns the mean loss by row."""
        return float(self._compiled(examples, order))

    def _all_batches(self, examples: ExampleTensors, order: tf.Tensor) -> tf.Tensor:
        total = tf.constant(0.0, tf.float64)
        rows, lists = tf.shape(examples.labels, tf.int64)[0], tf.size(order, tf.int64)
        step = self.batch_size * lists // rows  # the product outgrows int32
        step = tf.cast(tf.clip_by_value(step, 1, lists), tf.int32)
        for start in tf.range(0, tf.size(order), step):
            total += tf.cast(self._one_batch(examples, order[start : start + step]), tf.float64)
        return total / tf.cast(rows, tf.float64)

    def _one_batch(self, examples: ExampleTensors, lists: tf.Tensor) -> tf.Tensor:
        """Changes the weights by one step, and returns the summed loss before it, without the penalty."""
        network, optimisers = self.network, self.optimisers
        rows = tf.ragged.range(tf.gather(examples.splits, lists), tf.gather(examples.splits, lists + 1))
        chosen = rows.flat_values
        wide_ids = tf.gather(examples.table_rows, chosen)
        deep_ids = wide_ids[:, : len(network.spec.categorical)]
        wide_rows, embedding_rows = tf.gather(network.wide, wide_ids), tf.gather(network.embeddings, deep_ids)
        numbers = normalised(tf.gather(examples.numbers, chosen), network.quantiles, network.moments)
        sequence_ids, sequences = self._sequences(examples, chosen)
        sequence_rows = [each.embeddings for each in sequences]
        with tf.GradientTape() as tape:
            tape.watch([wide_rows, embedding_rows, *sequence_rows])
            logits = network.logits(wide_rows, embedding_rows, numbers, sequences)
            loss = self._loss(examples, chosen, logits, rows.value_rowids())
            penalised = loss + self.embedding_l2 * tf.reduce_sum(tf.square(embedding_rows))
        of_wide, of_embeddings, of_others = tape.gradient(
            penalised, [wide_rows, [embedding_rows, *sequence_rows], optimisers.others]
        )
        if wide_ids.shape[1]:
            optimisers.apply_wide(*summed_by_row([of_wide], [wide_ids]))
        if deep_ids.shape[1]:
            optimisers.apply_embeddings(*summed_by_row(of_embeddings, [deep_ids, *sequence_ids]))
        optimisers.apply_others(of_others)
        return loss

    def _sequences(self, examples: ExampleTensors, chosen: tf.Tensor) -> tuple[list[tf.Tensor], list[Sequences]]:
        """The distinct sequences of these rows: their embedding rows, and what the network reads of them."""
        ids, sequences = [], []
        for value_rows, sequence_of in examples.sequences:
            distinct, position = tf.unique(tf.gather(sequence_of, chosen))
            own = tf.gather(value_rows, distinct)
            ids.append(own)
            sequences.append(Sequences(tf.gather(self.network.embeddings, own), own != UNSEEN, position))
        return ids, sequences

    def _loss(
        self, examples: ExampleTensors, chosen: tf.Tensor, logits: Sequence[tf.Tensor], list_of: tf.Tensor
    ) -> tf.Tensor:
        """The sum of the objectives' losses, by their weights in units of the weight of `positive`."""
        labels = tf.unstack(tf.gather(examples.labels, chosen), axis=1)
        weights = tf.unstack(tf.gather(examples.weights, chosen), axis=1)
        by_objective = zip(self.shares, labels, weights, logits, strict=True)
        losses = [
            share * batch_loss(self.loss, label, weight, each, list_of) for share, label, weight, each in by_objective
        ]
        return tf.add_n(losses)
