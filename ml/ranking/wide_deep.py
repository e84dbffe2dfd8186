"""Wide & Deep (Cheng et al. 2016, arXiv 1606.07792) as one Keras model that scores raw columns.

The wide part is linear in categorical features and their cross-products; the deep part sends embeddings and
normalised numbers through ReLU layers; a logistic output for each objective joins them, with wide weights of its own and
layers that all share. The deep part is an ensemble in one network: its members share the embeddings and the wide part, have
layers of their own, and learn each by its own loss (as TabM does, Gorishniy et al. 2025, arXiv 2410.24210). Everything
between a raw column and the network is inside the model:

- a categorical value has a row of its own in the tables of weights and embeddings, for as long as versions start from
  one another: new values get rows after all others. Null and the empty string are one value. All values that no version
  has learned share row `UNSEEN`, which is zero and stays so. What the model keeps of a value is a 64-bit fingerprint:
  of a million values two are alike with a probability of 1 in 20 million;
- a cross is hashed into its buckets, and values that share one share its weight;
- a sequence (the newest takes) is attended to by the candidate, as in Deep Interest Network (Zhou et al. 2018, arXiv
  1706.06978): the more alike two products' embeddings, and the newer the take, the more it counts. The mean by these weights, and its
  product with the candidate's embedding by entries, are inputs of the deep part;
- a number gives three inputs: its empirical distribution function P(X <= x) as in the paper, its standardised signed
  logarithm, and a flag for a missing one (null or NaN). Infinity is read as the extreme seen in training.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import reduce
from itertools import chain, pairwise
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf

from ml.ranking.features import Feature, FeatureSpec
from ml.ranking.objectives import POSITIVE, Objective

Fingerprints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float32]
# of each feature its distinct sequences (sequences, LONGEST), and which of them is each row's
Sequences = Sequence[tuple[tf.Tensor, tf.Tensor]]

LONGEST = 50  # values of a sequence that are read: the newest
QUANTILES = 128
WIDE_SQUARES, DEEP_SQUARES = 1.0, 1e-6  # what sums of squared gradients begin with
UNSEEN = 0  # the row of every value that is not known
LAYER = "crossrec.wide_deep"  # the dot keeps it apart from every column name
POSITIVE_ALONE = (Objective(POSITIVE, 1.0),)
_HASH_RANGE = 2**63 - 1
_BEYOND = 2**63 - 1  # sorts after every fingerprint: a search never ends outside the table
_MULTIPLIER = 0xC6A4A7935BD1E995  # of TensorFlow's FingerprintCat64


def fingerprint(strings: tf.Tensor) -> tf.Tensor:
    """64-bit FarmHash fingerprint of each string, int64; the same on every machine and in every version."""
    return tf.strings.to_hash_bucket_fast(strings, _HASH_RANGE)


def _shift_mix(value: tf.Tensor) -> tf.Tensor:
    return tf.bitwise.bitwise_xor(value, tf.bitwise.right_shift(value, tf.constant(47, tf.uint64)))


def _concatenated(first: tf.Tensor, second: tf.Tensor) -> tf.Tensor:
    """Fingerprint of an ordered pair of uint64 fingerprints: TensorFlow's FingerprintCat64, element by element."""
    multiplier = tf.constant(_MULTIPLIER, tf.uint64)
    result = tf.bitwise.bitwise_xor(first, multiplier)
    result = tf.bitwise.bitwise_xor(result, _shift_mix(second * multiplier) * multiplier) * multiplier
    return _shift_mix(_shift_mix(result) * multiplier)


def _positive(fingerprints: tf.Tensor) -> tf.Tensor:
    return tf.bitcast(tf.bitwise.right_shift(fingerprints, tf.constant(1, tf.uint64)), tf.int64)


def value_fingerprints(features: Sequence[str], fingerprints: tf.Tensor) -> tf.Tensor:
    """Fingerprints of (feature, value), int64 (rows, features), from those of the values alone; one feature may be of all columns."""
    features = tf.bitcast(fingerprint(tf.constant(features, tf.string)), tf.uint64)
    return _positive(_concatenated(tf.bitcast(fingerprints, tf.uint64), features))


def sequence_fingerprints(sequences: tf.Tensor) -> tf.Tensor:
    """Fingerprints of the newest values of each sequence, int64 (sequences, LONGEST), 0 where it has no more."""
    values = tf.strings.split(sequences, "|")
    values = tf.ragged.boolean_mask(values, values != "")[:, :LONGEST]
    return tf.ragged.map_flat_values(fingerprint, values).to_tensor(0, shape=(None, LONGEST))


def with_new_values(known: Fingerprints, found: Fingerprints) -> Fingerprints:
    """`known`, each where it was, and after them what `found` has besides, sorted."""
    return np.concatenate([known, np.setdiff1d(found, known)])


@keras.saving.register_keras_serializable("crossrec")
class WideDeep(keras.layers.Layer):  # type: ignore[misc]  # Keras has no type hints
    """The whole of the network, from fingerprints and raw numbers to the score that ranks.

    The score is the mean of the objectives' probabilities by their weights, over those that occur on the row's platform.
    With one objective it is its probability.

    Args:
        spec: the features, as `FeatureSpec.to_json` writes them.
        hidden: units of the ReLU layers.
        embedding_dim: width of each categorical value's embedding.
        ensemble_size: how many deep towers there are; a row's log odds are the mean of theirs.
        seed: of every initial weight. The initial embeddings of the first rows do not depend on how many there are.
        values: how many values of categorical features are known.
        objectives: what each logit stands for, as `dataclasses.asdict` gives them; without them take alone.

    Beside each of its weights (`learned`) it keeps the sum of the squared gradients that taught it (`squares`): by them
    training goes on where it ended (`ml.ranking.warm_start`).
    """

    def __init__(
        self,
        spec: str,
        hidden: list[int],
        embedding_dim: int,
        ensemble_size: int,
        seed: int,
        values: int = 0,
        objectives: Sequence[dict[str, Any]] = (),
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.objectives = tuple(Objective(**fields) for fields in objectives) or POSITIVE_ALONE
        self.spec = FeatureSpec.from_json(spec)
        self.hidden = list(hidden)
        self.embedding_dim = embedding_dim
        self.ensemble_size = ensemble_size
        self.seed = seed
        self.values = values
        sizes = [cross.buckets for cross in self.spec.crosses]
        self._buckets = np.array(sizes, np.int64)
        self._offsets = 1 + values + np.concatenate([[0], np.cumsum(sizes, dtype=np.int64)])
        self.score_batch = tf.function(
            self.weighted_probability,
            input_signature=[
                tf.TensorSpec((None, len(self.spec.categorical)), tf.int64),
                tf.TensorSpec((None, len(self.spec.numeric)), tf.float32),
                tf.TensorSpec((None, len(self.objectives)), tf.float32),
                [
                    (tf.TensorSpec((None, LONGEST), tf.int64), tf.TensorSpec((None,), tf.int32))
                    for _ in self.spec.sequences
                ],
            ],
        )

    def _initial_kernels(self, depth: int) -> Callable[..., tf.Tensor]:
        """Draws the kernels of one layer (members, inputs, units), each member's by itself."""
        draw = keras.initializers.HeUniform if depth < len(self.hidden) else keras.initializers.GlorotUniform

        def draw_each(shape: tuple[int, int, int], dtype: str) -> tf.Tensor:
            seeds = np.random.SeedSequence([self.seed, 1 + depth]).generate_state(shape[0])
            return tf.stack([draw(seed=int(seed))(shape[1:], dtype) for seed in seeds])

        return draw_each

    def _initial_embeddings(self, shape: tuple[int, int], dtype: str) -> npt.NDArray[np.float32]:
        embeddings = np.random.default_rng(self.seed).uniform(-0.05, 0.05, shape).astype(dtype)
        embeddings[UNSEEN] = 0
        return embeddings

    def build(self, input_shape: Any = None) -> None:
        numbers = len(self.spec.numeric)
        self.quantiles = self.add_weight(
            name="quantiles", shape=(numbers, QUANTILES), initializer="zeros", trainable=False
        )
        self.moments = self.add_weight(name="moments", shape=(numbers, 2), initializer="ones", trainable=False)
        self.sorted_values, self.rows_of_sorted = (
            self.add_weight(name=name, shape=(self.values + 1,), dtype="int64", initializer="zeros", trainable=False)
            for name in ("sorted_values", "rows_of_sorted")
        )
        # a single one has no dimension: sums over it would add up in another order
        heads = () if len(self.objectives) == 1 else (len(self.objectives),)
        self.wide = self.add_weight(name="wide", shape=(int(self._offsets[-1]), *heads), initializer="zeros")
        self.embeddings = self.add_weight(
            name="embeddings", shape=(1 + self.values, self.embedding_dim), initializer=self._initial_embeddings
        )
        width = (len(self.spec.categorical) + 2 * len(self.spec.sequences)) * self.embedding_dim + 3 * numbers
        self.attention = {
            sequence.name: (
                self.add_weight(name=f"alike_{sequence.name}", shape=(self.embedding_dim,) * 2, initializer="identity"),
                self.add_weight(name=f"newer_{sequence.name}", shape=(LONGEST,), initializer="zeros"),
            )
            for sequence in self.spec.sequences
        }
        units = [*self.hidden, len(self.objectives)]
        self.kernels = [
            self.add_weight(
                name=f"kernel_{depth}", shape=(self.ensemble_size, *ends), initializer=self._initial_kernels(depth)
            )
            for depth, ends in enumerate(pairwise([width, *units]))
        ]
        self.biases = [
            self.add_weight(name=f"bias_{depth}", shape=(self.ensemble_size, 1, outputs), initializer="zeros")
            for depth, outputs in enumerate(units)
        ]
        self.squares = [
            self.add_weight(
                name=f"squares_{position}",
                shape=weight.shape,
                initializer=keras.initializers.Constant(WIDE_SQUARES if weight is self.wide else DEEP_SQUARES),
                trainable=False,
            )
            for position, weight in enumerate(self.learned)
        ]
        super().build(input_shape)

    @property
    def learned(self) -> list[keras.Variable]:
        """Every weight that training changes.

        They are wide, embeddings, of each sequence what attends to it (dim, dim) and (LONGEST,), and of each layer a kernel
        (members, inputs, units) and a bias (members, 1, units).
        """
        layers = zip(self.kernels, self.biases, strict=True)
        return [self.wide, self.embeddings, *chain.from_iterable([*self.attention.values(), *layers])]

    def adapt(self, numbers: npt.NDArray[np.float32]) -> None:
        """Learns each number's distribution from (rows, numeric features); NaN is missing, infinity is left out."""
        quantiles = np.zeros((numbers.shape[1], QUANTILES), np.float32)
        moments = np.tile(np.array([0, 1], np.float32), (numbers.shape[1], 1))
        for position, column in enumerate(numbers.T):
            finite = column[np.isfinite(column)]
            if finite.size:
                quantiles[position] = np.quantile(finite, np.linspace(0, 1, QUANTILES), method="nearest")
                logs = np.sign(finite) * np.log1p(np.abs(finite.astype(np.float64)))
                moments[position] = logs.mean(), logs.std() or 1.0
        self.quantiles.assign(quantiles)
        self.moments.assign(moments)

    def learn_values(self, values: Fingerprints) -> None:
        """Gives the n-th of these fingerprints of (feature, value) row n, from 1; there are as many as `values`."""
        order = np.argsort(values)
        self.sorted_values.assign(np.append(values[order], _BEYOND))
        self.rows_of_sorted.assign(np.append(1 + order, UNSEEN))

    @property
    def known_values(self) -> Fingerprints:
        """What `learn_values` was given."""
        by_row = np.argsort(self.rows_of_sorted.numpy())
        known: Fingerprints = self.sorted_values.numpy()[by_row[1:]]
        return known

    def buckets_of(self, cross: Feature) -> slice:
        """The rows of a cross in the wide table."""
        start = int(self._offsets[self.spec.crosses.index(cross)])
        return slice(start, start + cross.buckets)

    def inputs_of_features(self) -> dict[str, list[int]]:
        """Which inputs of the first dense layer read which feature; see `logits` and `normalised`."""
        width, numbers = self.embedding_dim, len(self.spec.numeric)
        embedded = len(self.spec.categorical) * width
        attended = embedded + 3 * numbers
        return (
            {
                name: list(range(position * width, (position + 1) * width))
                for position, name in enumerate(self.spec.categorical)
            }
            | {
                name: [embedded + kind * numbers + position for kind in range(3)]
                for position, name in enumerate(self.spec.numeric)
            }
            | {
                sequence.name: list(range(attended + 2 * position * width, attended + 2 * (position + 1) * width))
                for position, sequence in enumerate(self.spec.sequences)
            }
        )

    def table_rows(self, fingerprints: tf.Tensor) -> tf.Tensor:
        """Rows of the wide table, int32 (rows, categorical features and then crosses).

        Those of categorical features are rows of the embeddings too. `fingerprints`: int64 (rows, categorical features).
        """
        if not self.spec.categorical:
            return tf.zeros((tf.shape(fingerprints)[0], 0), tf.int32)
        rows = self._rows_of(value_fingerprints(self.spec.categorical, fingerprints))
        if self.spec.crosses:
            parts = tf.unstack(tf.bitcast(fingerprints, tf.uint64), num=len(self.spec.categorical), axis=1)
            by_name = dict(zip(self.spec.categorical, parts, strict=True))
            crossed = [reduce(_concatenated, [by_name[part] for part in cross.of]) for cross in self.spec.crosses]
            hashed = _positive(tf.stack(crossed, axis=1)) % self._buckets + self._offsets[:-1]
            rows = tf.concat([rows, tf.cast(hashed, tf.int32)], axis=1)
        return rows

    def sequence_rows(self, sequence: Feature, fingerprints: tf.Tensor) -> tf.Tensor:
        """Rows of the embeddings, int32 like ``fingerprints`` (sequences, LONGEST); `UNSEEN` where there is no value or an unknown one."""
        rows = self._rows_of(value_fingerprints(sequence.of, fingerprints))
        return tf.where(fingerprints == 0, UNSEEN, rows)

    def _rows_of(self, values: tf.Tensor) -> tf.Tensor:
        position = tf.reshape(tf.searchsorted(self.sorted_values, tf.reshape(values, [-1])), tf.shape(values))
        is_known = tf.gather(self.sorted_values, position) == values
        rows = tf.where(is_known, tf.gather(self.rows_of_sorted, position), tf.constant(UNSEEN, tf.int64))
        return tf.cast(rows, tf.int32)

    def normalised(self, numbers: tf.Tensor) -> tf.Tensor:
        """(rows, numeric features) raw -> (rows, 3 x numeric features) for the deep part; see the module's text."""
        missing = tf.math.is_nan(numbers)
        low, high = self.quantiles[:, 0], self.quantiles[:, -1]
        clipped = tf.clip_by_value(tf.where(missing, low, numbers), low, high)
        position = tf.searchsorted(self.quantiles, tf.transpose(clipped), side="right")
        distribution = tf.transpose(tf.cast(position, tf.float32)) / QUANTILES * 2.0 - 1.0
        logs = (tf.sign(clipped) * tf.math.log1p(tf.abs(clipped)) - self.moments[:, 0]) / self.moments[:, 1]
        present = tf.cast(~missing, tf.float32)
        return tf.concat([distribution * present, logs * present, 1.0 - present], axis=1)

    def attended(
        self, sequence: Feature, candidate: tf.Tensor, taken: tf.Tensor, is_there: tf.Tensor, sequence_of: tf.Tensor
    ) -> tf.Tensor:
        """What the rows' candidates make of their sequence, (rows, 2 x dim); zero where nothing in it is known.

        From embeddings of the candidates (rows, dim) and of the distinct sequences' values (sequences, LONGEST, dim), whether
        these are known (sequences, LONGEST), and which sequence is each row's.
        """
        alike, newer = self.attention[sequence.name]
        keys = tf.gather(tf.matmul(taken, alike), sequence_of)
        scores = tf.linalg.matvec(keys, candidate) + newer
        known = tf.gather(is_there, sequence_of)
        shares = tf.nn.softmax(tf.where(known, scores, -1e9)) * tf.cast(known, tf.float32)
        mean = tf.linalg.matvec(tf.gather(taken, sequence_of), shares, transpose_a=True)
        return tf.concat([mean, mean * candidate], axis=1)

    def logits(
        self,
        wide_rows: tf.Tensor,
        embedding_rows: tf.Tensor,
        normalised: tf.Tensor,
        sequences: Sequence[tuple[tf.Tensor, tf.Tensor, tf.Tensor]] = (),
    ) -> list[tf.Tensor]:
        """Each objective's joined log odds (rows, members), of looked-up weights, embeddings (rows, categorical, dim) and numbers.

        Weights are (rows, looked up), or (rows, looked up, objectives) of several. ``sequences`` has of each sequence the last three
        arguments of `attended`.
        """
        width = len(self.spec.categorical) * self.embedding_dim
        deep = tf.concat([tf.reshape(embedding_rows, (tf.shape(wide_rows)[0], width)), normalised], axis=1)
        for sequence, parts in zip(self.spec.sequences, sequences, strict=True):
            candidate = embedding_rows[:, self.spec.categorical.index(sequence.of[0])]
            deep = tf.concat([deep, self.attended(sequence, candidate, *parts)], axis=1)
        *hidden, last = zip(self.kernels, self.biases, strict=True)
        for kernel, bias in hidden:
            deep = tf.nn.relu(tf.matmul(deep, kernel) + bias)
        deep = tf.transpose(tf.matmul(deep, last[0]) + last[1], (2, 1, 0))
        wide = tf.reduce_sum(wide_rows, axis=1)
        by_objective = [wide] if len(self.objectives) == 1 else tf.unstack(wide, axis=1)
        return [deep[position] + each[:, None] for position, each in enumerate(by_objective)]

    def weights_on(self, platforms: Sequence[str]) -> Floats:
        """What each objective counts on each platform, (platforms, objectives); a row sums to one.

        An objective that never occurred on a platform counts nothing there.
        """
        weights = np.array(
            [
                [each.weight if each.platforms is None or name in each.platforms else 0.0 for each in self.objectives]
                for name in platforms
            ]
        ).reshape(-1, len(self.objectives))
        shares: Floats = (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)
        return shares

    def weighted_probability(
        self, fingerprints: tf.Tensor, numbers: tf.Tensor, weights: tf.Tensor, sequences: Sequences
    ) -> tf.Tensor:
        """The objectives' probabilities by `weights` (rows, objectives), added up: (rows,).

        From int64 fingerprints (rows, categorical), raw numbers (rows, numeric) and the sequences' fingerprints.
        """
        ids = self.table_rows(fingerprints)
        embedding_rows = tf.gather(self.embeddings, ids[:, : len(self.spec.categorical)])
        looked_up = []
        for sequence, (of_sequences, sequence_of) in zip(self.spec.sequences, sequences, strict=True):
            rows = self.sequence_rows(sequence, of_sequences)
            looked_up.append((tf.gather(self.embeddings, rows), rows != UNSEEN, sequence_of))
        logits = self.logits(tf.gather(self.wide, ids), embedding_rows, self.normalised(numbers), looked_up)
        probabilities = [tf.sigmoid(tf.reduce_mean(each, axis=1)) for each in logits]
        return tf.add_n([weights[:, position] * each for position, each in enumerate(probabilities)])

    def call(self, inputs: dict[str, tf.Tensor]) -> tf.Tensor:
        rows = tf.shape(next(iter(inputs.values())))[0]
        strings = [inputs[name] for name in self.spec.categorical]
        numbers = [inputs[name] for name in self.spec.numeric]
        distinct = [tf.unique(inputs[sequence.name]) for sequence in self.spec.sequences]
        return self.weighted_probability(
            fingerprint(tf.stack(strings, axis=1)) if strings else tf.zeros((rows, 0), tf.int64),
            tf.stack(numbers, axis=1) if numbers else tf.zeros((rows, 0), tf.float32),
            self._weights_of(inputs["platform"]) if len(self.objectives) > 1 else tf.ones((rows, 1)),
            [(sequence_fingerprints(values), position) for values, position in distinct],
        )

    def _weights_of(self, platform: tf.Tensor) -> tf.Tensor:
        known = sorted({name for objective in self.objectives for name in objective.platforms or ()})
        weights = self.weights_on(["", *known])  # the first are those of a platform that nothing was learned from
        is_known = tf.cast(platform[:, None] == tf.constant(known, tf.string), tf.int32)
        return tf.gather(weights, tf.reduce_sum(is_known * tf.range(1, len(known) + 1), axis=1))

    def get_config(self) -> dict[str, Any]:
        own = {
            "spec": self.spec.to_json(),
            "hidden": self.hidden,
            "embedding_dim": self.embedding_dim,
            "ensemble_size": self.ensemble_size,
            "seed": self.seed,
            "values": self.values,
            "objectives": [asdict(objective) for objective in self.objectives],
        }
        return {**super().get_config(), **own}


def build_model(
    spec: FeatureSpec,
    hidden: tuple[int, ...],
    embedding_dim: int,
    ensemble_size: int,
    seed: int,
    values: Fingerprints,
    objectives: Sequence[Objective] = POSITIVE_ALONE,
) -> keras.Model:
    """A model with one input a column: strings for categorical features and sequences, float32 for numeric ones.

    It knows `values`, fingerprints of (feature, value) in the order of their rows. With several objectives `platform` is an
    input too, whether it is a feature or not.
    """
    texts = [*spec.categorical, *(sequence.name for sequence in spec.sequences)]
    names = dict.fromkeys([*texts, *(["platform"] if len(objectives) > 1 else [])])
    inputs = {name: keras.Input((), name=name, dtype="string") for name in names}
    inputs |= {name: keras.Input((), name=name, dtype="float32") for name in spec.numeric}
    declared = [asdict(objective) for objective in objectives]
    network = WideDeep(
        spec.to_json(), list(hidden), embedding_dim, ensemble_size, seed, len(values), declared, name=LAYER
    )
    model = keras.Model(inputs, network(inputs), name="wide_and_deep")
    network.learn_values(values)
    return model


def network_of(model: keras.Model) -> WideDeep:
    """The Wide & Deep layer of a model that `build_model` made or Keras loaded."""
    network: WideDeep = model.get_layer(LAYER)
    return network
