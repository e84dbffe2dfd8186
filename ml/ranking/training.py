"""Training and scoring: Arrow tables in, a Keras model or an array of scores out."""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import keras
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import tensorflow as tf

from ml.evaluation.metrics import auc, log_loss
from ml.ranking.features import FeatureSpec
from ml.ranking.objectives import POSITIVE, Objective, check_weights
from ml.ranking.warm_start import TakenOver, take_over
from ml.ranking.wide_deep import (
    UNSEEN,
    Sequences,
    WideDeep,
    build_model,
    fingerprint,
    network_of,
    sequence_fingerprints,
    value_fingerprints,
    with_new_values,
)

log = logging.getLogger(__name__)

Floats = npt.NDArray[np.float32]

LOG_LOSS_SHARE = 0.2
LIST_KEYS = ("as_of", "person_id", "platform")


@dataclass(frozen=True)
class TrainingParams:
    """Hyper-parameters. Both penalties are in the units of the summed loss: a wide weight stays zero until its
    examples, together, pull it by more than `wide_l1`; each example adds `embedding_l2` times the squares of its embeddings.

    A listwise loss learns the order within each list; LOG_LOSS_SHARE of the log loss stays beside it, so that scores are
    probabilities still. `objectives` weighs what lists should bring (`ml.ranking.objectives`): the loss is the sum of theirs,
    in units of the weight of take. `members` deep parts learn each by its own.
    """

    epochs: int = 2
    batch_size: int = 4096
    hidden: tuple[int, ...] = (128, 64, 32)
    embedding_dim: int = 8
    ensemble_size: int = 4
    deep_learning_rate: float = 0.02
    wide_learning_rate: float = 0.05
    wide_l1: float = 1.0
    embedding_l2: float = 0.01
    loss: Literal["log_loss", "listwise"] = "log_loss"
    seed: int = 0
    objectives: Mapping[str, float] = field(default_factory=lambda: {POSITIVE: 1.0}, hash=False)


@dataclass(frozen=True)
class Epoch:
    """One pass over the examples: mean loss by row while training, and log loss and AUC on the holdout."""

    epoch: int
    loss: float
    holdout_loss: float | None = None
    holdout_auc: float | None = None


@dataclass(frozen=True)
class TrainedModel:
    model: keras.Model
    spec: FeatureSpec
    history: tuple[Epoch, ...]
    taken_over: TakenOver | None = None


@dataclass(frozen=True)
class _Encoded:
    """Columns as the network takes them: int64 fingerprints (rows, categorical), float32 numbers (rows, numeric)."""

    fingerprints: npt.NDArray[np.int64]
    numbers: Floats
    sequences: Sequence[tuple[npt.NDArray[np.int64], npt.NDArray[np.int32]]]  # as `wide_deep.Sequences`


def _strings(column: pa.ChunkedArray, name: str, where: str) -> pa.DictionaryArray:
    """A column as dictionary-encoded strings; null becomes the empty string."""
    try:
        if not pa.types.is_dictionary(column.type):
            column = column.cast(pa.string()).fill_null("").dictionary_encode()
        encoded = column.unify_dictionaries().combine_chunks()
        if encoded.null_count:
            indices = encoded.indices.cast(pa.int32()).fill_null(len(encoded.dictionary))
            encoded = pa.DictionaryArray.from_arrays(indices, pa.concat_arrays([encoded.dictionary, pa.array([""])]))
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise ValueError(
            f"{where}: column '{name}' is {column.type}, which cannot be read as text ({error}). Cast it in the mart"
        ) from error
    return encoded


def _numbers(column: pa.ChunkedArray, name: str, where: str) -> Floats:
    try:
        if pa.types.is_boolean(column.type):
            column = column.cast(pa.int8())
        numbers: Floats = column.cast(pa.float64()).to_numpy().astype(np.float32)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise ValueError(
            f"{where}: numeric feature '{name}' is {column.type}, which cannot be read as a number ({error}). "
            "Cast it in the mart, or declare it `feature: categorical`"
        ) from error
    return numbers


def _encode(table: pa.Table, spec: FeatureSpec, where: str) -> _Encoded:
    """Hashes each distinct string once: most of the time of the model's own path goes into strings."""
    spec.check_columns(table.column_names, where)
    fingerprints = np.empty((table.num_rows, len(spec.categorical)), np.int64)
    for position, name in enumerate(spec.categorical):
        strings = _strings(table[name], name, where)
        distinct = fingerprint(tf.constant(strings.dictionary.to_numpy(zero_copy_only=False), tf.string)).numpy()
        fingerprints[:, position] = distinct[strings.indices.to_numpy()]
    numbers = np.empty((table.num_rows, len(spec.numeric)), np.float32)
    for position, name in enumerate(spec.numeric):
        numbers[:, position] = _numbers(table[name], name, where)
    sequences = []
    for sequence in spec.sequences:
        strings = _strings(table[sequence.name], sequence.name, where)
        distinct = tf.constant(strings.dictionary.to_numpy(zero_copy_only=False), tf.string)
        sequences.append((sequence_fingerprints(distinct).numpy(), strings.indices.to_numpy().astype(np.int32)))
    return _Encoded(fingerprints, numbers, sequences)


@dataclass(frozen=True)
class _Taught:
    """What the examples teach about one objective: labels 0/1 and weights, both (rows,)."""

    objective: Objective
    labels: Floats
    weights: Floats


def _taught(table: pa.Table, objective: Objective, where: str) -> _Taught:
    """Labels and weights of mean one; an objective other than take learns from the platforms where it was ever seen alone.

    Those are the platforms that `objective` knows already, and those of its positives. The positives of take weigh as much as
    negatives in the mean: their weights say which of them to heed more, and must not make takes rarer than they are, or scores
    would be no probabilities.
    Raises ValueError when nothing can be learned from them.
    """
    if objective.name != POSITIVE:
        where = f"{where}, objective '{objective.name}'"
    for column in [objective.label, *([] if objective.name == POSITIVE else ["platform"])]:
        if column not in table.column_names:
            raise ValueError(f"{where} has no column '{column}'. Received: {table.column_names}")
    labels = _numbers(table[objective.label], objective.label, where)
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
    weights = np.ones_like(labels)
    if objective.label_weight in table.column_names:
        weights = _numbers(table[objective.label_weight], objective.label_weight, where)
        if wrong := int(np.count_nonzero(~(np.isfinite(weights) & (weights >= 0)))):
            raise ValueError(
                f"{where}: {objective.label_weight} must be a finite number of at least 0 "
                f"({wrong:,} of {len(weights):,} rows are not)"
            )
    occurs = np.ones(len(labels), bool)
    if objective.name != POSITIVE:
        platforms = _strings(table["platform"], "platform", where)
        code, names = platforms.indices.to_numpy(), platforms.dictionary
        seen = np.bincount(code, labels * weights) > 0
        met = sorted({*(objective.platforms or ()), *names.filter(pa.array(seen)).to_pylist()})
        objective = replace(objective, platforms=tuple(met))
        occurs = np.isin(names.to_numpy(zero_copy_only=False), met)[code]
        weights = weights * occurs
    for label in (0, 1):
        if not weights[labels == label].any():
            raise ValueError(f"{where}: every row with label {label} weighs nothing; training needs both labels")
    if objective.label_weight in table.column_names:
        if objective.name == POSITIVE:
            of_negatives, of_positives = (weights[labels == label].mean(dtype=np.float64) for label in (0, 1))
            weights = np.where(labels == 1, weights * (of_negatives / of_positives), weights)
        weights = weights / weights[occurs].mean(dtype=np.float64)
    return _Taught(objective, labels, weights)


def _splits(examples: pa.Table, params: TrainingParams) -> npt.NDArray[np.int32]:
    """Where each list begins, and the end of the last. With the log loss alone every row is a list of its own."""
    if params.loss == "log_loss":
        return np.arange(examples.num_rows + 1, dtype=np.int32)
    if missing := [name for name in LIST_KEYS if name not in examples.column_names]:
        raise ValueError(f"training examples lack {missing}: a listwise loss needs the list of each row")
    keys = [examples[name].combine_chunks().dictionary_encode().indices.to_numpy() for name in LIST_KEYS]
    begins = np.flatnonzero(np.any([np.diff(key) != 0 for key in keys], axis=0)) + 1
    first = np.r_[0, begins]
    if len(np.unique(np.stack([key[first] for key in keys]), axis=1).T) < len(first):
        raise ValueError(f"training examples must be sorted by {LIST_KEYS}: some list's rows are apart")
    splits: npt.NDArray[np.int32] = np.r_[first, examples.num_rows].astype(np.int32)
    return splits


class _Optimisers:
    """FTRL with L1 on the wide part, AdaGrad on the deep part, both touching only the rows a batch used."""

    def __init__(self, network: WideDeep, params: TrainingParams) -> None:
        self.network, self.params = network, params
        self.wide, self.embeddings, *self.others = (variable.value for variable in network.learned)
        self.squares = {
            variable.value.ref(): squares.value
            for variable, squares in zip(network.learned, network.squares, strict=True)
        }
        # FTRL makes a weight of this sum alone, so it begins as the one of which it would make the weight that is there
        scale = tf.sqrt(self.squares[self.wide.ref()]) / params.wide_learning_rate
        self.linear = tf.Variable(-self.wide * scale - tf.sign(self.wide) * params.wide_l1)

    def _slot(self, variable: tf.Variable) -> tf.Tensor:
        return self.squares[variable.ref()].handle

    def apply_wide(self, gradient: tf.Tensor, ids: tf.Tensor) -> None:
        tf.raw_ops.ResourceSparseApplyFtrl(
            var=self.wide.handle,
            accum=self._slot(self.wide),
            linear=self.linear.handle,
            grad=gradient,
            indices=ids,
            lr=self.params.wide_learning_rate,
            l1=self.params.wide_l1,
            l2=0.0,
            lr_power=-0.5,
        )

    def apply_embeddings(self, gradient: tf.Tensor, ids: tf.Tensor) -> None:
        tf.raw_ops.ResourceSparseApplyAdagradV2(
            var=self.embeddings.handle,
            accum=self._slot(self.embeddings),
            lr=self.params.deep_learning_rate,
            epsilon=1e-7,
            grad=gradient,
            indices=ids,
        )

    def apply_others(self, gradients: Sequence[tf.Tensor]) -> None:
        for variable, gradient in zip(self.others, gradients, strict=True):
            tf.raw_ops.ResourceApplyAdagradV2(
                var=variable.handle,
                accum=self._slot(variable),
                lr=self.params.deep_learning_rate,
                epsilon=1e-7,
                grad=gradient,
            )


def _per_row(gradients: Sequence[tf.Tensor], ids: Sequence[tf.Tensor]) -> tuple[tf.Tensor, tf.Tensor]:
    """Sums the gradients of looked-up rows that are the same table row: each of the shape of its ids, and then of a row."""
    rows, position = tf.unique(tf.concat([tf.reshape(each, [-1]) for each in ids], axis=0))
    flat = [
        tf.reshape(gradient, tf.concat([[-1], tf.shape(gradient)[tf.rank(each) :]], axis=0))
        for gradient, each in zip(gradients, ids, strict=True)
    ]
    return tf.math.unsorted_segment_sum(tf.concat(flat, axis=0), position, tf.size(rows)), rows


def _log_loss(label: tf.Tensor, weight: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
    """Summed over rows, the mean of all members. Labels and weights are (rows,), logits (rows, members)."""
    labels = tf.broadcast_to(label[:, None], tf.shape(logits))
    losses = tf.reduce_mean(tf.nn.sigmoid_cross_entropy_with_logits(labels, logits), axis=1)
    return tf.reduce_sum(weight * losses)


def _listwise(label: tf.Tensor, weight: tf.Tensor, logits: tf.Tensor, rows_of: tf.Tensor) -> tf.Tensor:
    """ListNet's top-one loss (Cao et al. 2007, equation 4) with binary gains, summed over the lists of a batch, the mean of all members.

    Labels and weights are (rows,), logits (rows, members), whole lists one after the other; ``rows_of`` says of each row
    which list it is in. A list without a positive has no loss.
    """
    shifted = logits - tf.gather(tf.math.segment_max(logits, rows_of), rows_of)
    partition = tf.math.log(tf.math.segment_sum(tf.exp(shifted), rows_of))
    gains = label * weight
    surprise = gains * tf.reduce_mean(tf.gather(partition, rows_of) - shifted, axis=1)
    return tf.reduce_sum(
        tf.math.divide_no_nan(tf.math.segment_sum(surprise, rows_of), tf.math.segment_sum(gains, rows_of))
    )


def _epoch_function(network: WideDeep, params: TrainingParams) -> Callable[..., tf.Tensor]:
    """One pass over shuffled lists as a single graph call: batches are cut inside it, so Python never waits."""
    optimisers = _Optimisers(network, params)
    categorical = len(network.spec.categorical)
    [of_take] = [objective.weight for objective in network.objectives if objective.name == POSITIVE]
    shares = [objective.weight / of_take for objective in network.objectives]

    def loss_of(label: tf.Tensor, weight: tf.Tensor, logits: tf.Tensor, rows_of: tf.Tensor) -> tf.Tensor:
        """Of one objective, summed over the rows of a batch, or over its lists."""
        loss = _log_loss(label, weight, logits)
        if params.loss == "listwise":
            loss = LOG_LOSS_SHARE * loss + _listwise(label, weight, logits, rows_of)
        return loss

    def run(
        ids: tf.Tensor,
        numbers: tf.Tensor,
        labels: tf.Tensor,
        weights: tf.Tensor,
        sequences: Sequences,
        splits: tf.Tensor,
        order: tf.Tensor,
    ) -> tf.Tensor:
        total = tf.constant(0.0, tf.float64)
        examples = tf.shape(labels, tf.int64)[0]
        step = params.batch_size * tf.size(order, tf.int64) // examples  # the product outgrows int32
        step = tf.cast(tf.clip_by_value(step, 1, tf.size(order, tf.int64)), tf.int32)
        for start in tf.range(0, tf.size(order), step):
            lists = order[start : start + step]
            rows = tf.ragged.range(tf.gather(splits, lists), tf.gather(splits, lists + 1))
            chosen = rows.flat_values
            wide_ids, label, weight = tf.gather(ids, chosen), tf.gather(labels, chosen), tf.gather(weights, chosen)
            deep_ids = wide_ids[:, :categorical]
            wide_rows, embedding_rows = tf.gather(network.wide, wide_ids), tf.gather(network.embeddings, deep_ids)
            normalised = network.normalised(tf.gather(numbers, chosen))
            taken_ids, sequence_of = [], []
            for of_sequences, of_rows in sequences:
                distinct, position = tf.unique(tf.gather(of_rows, chosen))
                taken_ids.append(tf.gather(of_sequences, distinct))
                sequence_of.append(position)
            taken_rows = [tf.gather(network.embeddings, each) for each in taken_ids]
            with tf.GradientTape() as tape:
                tape.watch([wide_rows, embedding_rows, *taken_rows])
                are_there = [each != UNSEEN for each in taken_ids]
                taken = list(zip(taken_rows, are_there, sequence_of, strict=True))
                logits = network.logits(wide_rows, embedding_rows, normalised, taken)
                columns = zip(tf.unstack(label, axis=1), tf.unstack(weight, axis=1), logits, strict=True)
                losses = [loss_of(*of_one, rows.value_rowids()) for of_one in columns]
                loss = tf.add_n([share * each for share, each in zip(shares, losses, strict=True)])
                penalised = loss + params.embedding_l2 * tf.reduce_sum(tf.square(embedding_rows))
            wide_gradient, embedding_gradients, gradients = tape.gradient(
                penalised, [wide_rows, [embedding_rows, *taken_rows], optimisers.others]
            )
            if wide_ids.shape[1]:
                optimisers.apply_wide(*_per_row([wide_gradient], [wide_ids]))
            if categorical:
                optimisers.apply_embeddings(*_per_row(embedding_gradients, [deep_ids, *taken_ids]))
            optimisers.apply_others(gradients)
            total += tf.cast(loss, tf.float64)
        return total / tf.cast(examples, tf.float64)

    compiled: Callable[..., tf.Tensor] = tf.function(run)
    return compiled


def train(
    examples: pa.Table,
    holdout: pa.Table | None,
    spec: FeatureSpec,
    params: TrainingParams,
    on_epoch: Callable[[Epoch], None] = lambda _: None,
    parent: keras.Model | None = None,
) -> TrainedModel:
    """Trains Wide & Deep jointly, for the order within each list and for probabilities.

    `examples` and `holdout` have the columns of `spec`, `label` (0/1) and optionally `label_weight` (>= 0). A listwise
    loss needs LIST_KEYS too, and the rows of a list together. Every further objective has columns of its own (`Objective`), and
    needs `platform`. The holdout is only reported by epoch, for take; it never chooses anything. With a `parent`, an earlier
    model, training begins with its weights (`warm_start.take_over`). The same tables, params, parent and number of TensorFlow
    threads give the same weights, bit by bit.
    Raises ValueError where there is nothing to learn from or a column is missing or unreadable.
    """
    check_weights(params.objectives)
    ancestor = network_of(parent) if parent is not None else None
    known = ancestor.known_values if ancestor is not None else np.empty(0, np.int64)
    met = {objective.name: objective.platforms for objective in ancestor.objectives} if ancestor is not None else {}
    objectives = [Objective(name, weight, met.get(name)) for name, weight in params.objectives.items() if weight]
    taught = [_taught(examples, objective, "training examples") for objective in objectives]
    encoded = _encode(examples, spec, "training examples")
    for name, column in zip(spec.numeric, encoded.numbers.T, strict=True):
        if not np.isfinite(column).any():
            log.warning("feature '%s' has no finite value in the training examples: it teaches nothing", name)
    values = with_new_values(known, value_fingerprints(spec.categorical, encoded.fingerprints).numpy())
    objectives = [each.objective for each in taught]
    model = build_model(
        spec, params.hidden, params.embedding_dim, params.ensemble_size, params.seed, values, objectives
    )
    network = network_of(model)
    network.adapt(encoded.numbers)
    rates = [float(np.average(each.labels, weights=each.weights)) for each in taught]
    network.biases[-1].assign(np.broadcast_to([np.log(rate / (1 - rate)) for rate in rates], network.biases[-1].shape))
    taken_over = take_over(network, ancestor) if ancestor is not None else None

    ids = network.table_rows(encoded.fingerprints)
    labels, weights = (
        np.stack(columns, axis=1) for columns in zip(*((t.labels, t.weights) for t in taught), strict=True)
    )
    columns = [tf.constant(column, tf.float32) for column in (encoded.numbers, labels, weights)]
    sequences = [
        (network.sequence_rows(sequence, of_sequences), tf.constant(sequence_of))
        for sequence, (of_sequences, sequence_of) in zip(spec.sequences, encoded.sequences, strict=True)
    ]
    del encoded
    splits = tf.constant(_splits(examples, params))
    run, shuffle = _epoch_function(network, params), np.random.default_rng(params.seed)
    history = []
    for number in range(1, params.epochs + 1):
        loss = float(run(ids, *columns, sequences, splits, shuffle.permutation(len(splits) - 1).astype(np.int32)))
        if not np.isfinite(loss):
            raise ValueError(f"training diverged in epoch {number} (loss {loss}); lower the learning rates in {params}")
        epoch = Epoch(number, loss)
        if holdout is not None and holdout.num_rows:
            scores = score(model, spec, holdout, POSITIVE)
            held_labels = _numbers(holdout["label"], "label", "holdout")
            epoch = Epoch(number, loss, log_loss(held_labels, scores), auc(held_labels, scores))
        history.append(epoch)
        on_epoch(epoch)
    return TrainedModel(model, spec, tuple(history), taken_over)


def not_finite(candidates: pa.Table, spec: FeatureSpec) -> dict[str, int]:
    """In how many rows each numeric feature is NaN or infinite, of those that are so anywhere. Null is neither."""
    wrong = {
        name: int(np.count_nonzero(~np.isfinite(_numbers(candidates[name], name, "candidates"))))
        - candidates[name].null_count
        for name in spec.numeric
    }
    return {name: rows for name, rows in wrong.items() if rows}


def score(
    model: keras.Model,
    spec: FeatureSpec,
    candidates: pa.Table,
    objective: str | None = None,
    batch_size: int = 16_384,
) -> Floats:
    """What each candidate is ranked by, float32 (rows,): what `model.predict` on the raw columns gives, only faster.

    With `objective` it is the probability of that one alone. Raises ValueError naming the columns that `candidates` lacks,
    for an objective that the model did not learn, or when a score is not finite.
    """
    network = network_of(model)
    if network.spec != spec:
        raise ValueError(
            f"the model was trained with other features than it is asked to score: {network.spec.columns} "
            f"against {spec.columns}"
        )
    encoded, weights = _encode(candidates, spec, "candidates"), _weights(network, candidates, objective)
    scores = np.empty(candidates.num_rows, np.float32)
    for start in range(0, candidates.num_rows, batch_size):
        rows = slice(start, start + batch_size)
        sequences = []
        for of_sequences, sequence_of in encoded.sequences:
            distinct, position = np.unique(sequence_of[rows], return_inverse=True)
            sequences.append((of_sequences[distinct], position.astype(np.int32)))
        scores[rows] = network.score_batch(
            encoded.fingerprints[rows], encoded.numbers[rows], weights[rows], sequences
        ).numpy()
    if wrong := int(np.count_nonzero(~np.isfinite(scores))):
        raise ValueError(f"the model gives {wrong:,} of {len(scores):,} candidates no finite score; do not use it")
    return scores


def _weights(network: WideDeep, candidates: pa.Table, objective: str | None) -> Floats:
    """What each objective counts in the score of each candidate, (rows, objectives)."""
    names = [each.name for each in network.objectives]
    if objective is not None:
        if objective not in names:
            raise ValueError(f"the model did not learn objective '{objective}'. It learned: {names}")
        return np.tile(np.array([name == objective for name in names], np.float32), (candidates.num_rows, 1))
    if len(names) == 1:
        return np.ones((candidates.num_rows, 1), np.float32)
    if "platform" not in candidates.column_names:
        raise ValueError(f"candidates lack column 'platform', by which the objectives {names} are weighed")
    platforms = _strings(candidates["platform"], "platform", "candidates")
    by_platform = network.weights_on(platforms.dictionary.to_pylist())
    weights: Floats = np.take(by_platform, platforms.indices.to_numpy(), axis=0)
    return weights
