"""Wide & Deep (Cheng et al. 2016, arXiv 1606.07792) as one Keras model that scores raw columns.

The wide part is linear in hashed categorical features and their cross-products; the deep part sends embeddings and
normalised numbers through ReLU layers; one logistic output joins them. Everything between a raw column and the
network is inside the model:

- a categorical value is hashed; null and the empty string are one value of their own; a value never seen falls in a
  bucket like any other, so its weight is whatever the values that share the bucket taught;
- a number gives three inputs: its empirical distribution function P(X <= x) as in the paper, its standardised signed
  logarithm, and a flag for a missing one (null or NaN). Infinity is read as the extreme seen in training.
"""

from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf

from ml.ranking.features import FeatureSpec

QUANTILES = 128
LAYER = "crossrec.wide_deep"  # the dot keeps it apart from every column name
_HASH_RANGE = 2**63 - 1
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


@keras.saving.register_keras_serializable("crossrec")
class WideDeep(keras.layers.Layer):  # type: ignore[misc]  # Keras has no type hints
    """The whole of the network, from fingerprints and raw numbers to a probability.

    Args:
        spec: the features, as `FeatureSpec.to_json` writes them.
        hidden: units of the ReLU layers.
        embedding_dim: width of each categorical value's embedding.
        seed: of every initial weight.
    """

    def __init__(self, spec: str, hidden: list[int], embedding_dim: int, seed: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.spec = FeatureSpec.from_json(spec)
        self.hidden = list(hidden)
        self.embedding_dim = embedding_dim
        self.seed = seed
        sizes = [feature.buckets for feature in self.spec.hashed]
        self._buckets = np.array(sizes, np.int64)
        self._offsets = np.concatenate([[0], np.cumsum(sizes, dtype=np.int64)])
        self.dense = [
            keras.layers.Dense(units, activation="relu", kernel_initializer=self._initializer("HeUniform", depth))
            for depth, units in enumerate(self.hidden)
        ]
        self.dense.append(keras.layers.Dense(1, kernel_initializer=self._initializer("GlorotUniform", len(hidden))))
        self.score_batch = tf.function(
            self.probability,
            input_signature=[
                tf.TensorSpec((None, len(self.spec.categorical)), tf.int64),
                tf.TensorSpec((None, len(self.spec.numeric)), tf.float32),
            ],
        )

    def _initializer(self, name: str, position: int, **kwargs: Any) -> keras.initializers.Initializer:
        return getattr(keras.initializers, name)(seed=self.seed + 1 + position, **kwargs)

    def build(self, input_shape: Any = None) -> None:
        numbers = len(self.spec.numeric)
        self.quantiles = self.add_weight(
            name="quantiles", shape=(numbers, QUANTILES), initializer="zeros", trainable=False
        )
        self.moments = self.add_weight(name="moments", shape=(numbers, 2), initializer="ones", trainable=False)
        self.wide = self.add_weight(name="wide", shape=(int(self._offsets[-1]),), initializer="zeros")
        self.embeddings = self.add_weight(
            name="embeddings",
            shape=(int(self._offsets[len(self.spec.categorical)]), self.embedding_dim),
            initializer=keras.initializers.RandomUniform(-0.05, 0.05, seed=self.seed),
        )
        width = len(self.spec.categorical) * self.embedding_dim + 3 * numbers
        for layer in self.dense:
            layer.build((None, width))
            width = layer.units
        super().build(input_shape)

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

    def hash_ids(self, fingerprints: tf.Tensor) -> tf.Tensor:
        """Rows of the wide table, int32 (rows, hashed features); the categorical ones come first.

        `fingerprints`: int64 (rows, categorical features).
        """
        parts = tf.unstack(tf.bitcast(fingerprints, tf.uint64), num=len(self.spec.categorical), axis=1)
        by_name = dict(zip(self.spec.categorical, parts, strict=True))
        for cross in self.spec.crosses:
            crossed = by_name[cross.of[0]]
            for part in cross.of[1:]:
                crossed = _concatenated(crossed, by_name[part])
            parts.append(tf.bitwise.right_shift(crossed, tf.constant(1, tf.uint64)))
        if not parts:
            return tf.zeros((tf.shape(fingerprints)[0], 0), tf.int32)
        hashed = tf.bitcast(tf.stack(parts, axis=1), tf.int64)
        return tf.cast(hashed % self._buckets + self._offsets[:-1], tf.int32)

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

    def logits(self, wide_rows: tf.Tensor, embedding_rows: tf.Tensor, normalised: tf.Tensor) -> tf.Tensor:
        """Joined log odds (rows,) of looked-up weights (rows, hashed), embeddings (rows, categorical, dim), numbers."""
        width = len(self.spec.categorical) * self.embedding_dim
        deep = tf.concat([tf.reshape(embedding_rows, (tf.shape(wide_rows)[0], width)), normalised], axis=1)
        for layer in self.dense:
            deep = layer(deep)
        return deep[:, 0] + tf.reduce_sum(wide_rows, axis=1)

    def probability(self, fingerprints: tf.Tensor, numbers: tf.Tensor) -> tf.Tensor:
        """Probability (rows,) from int64 fingerprints (rows, categorical) and raw numbers (rows, numeric)."""
        ids = self.hash_ids(fingerprints)
        embedding_rows = tf.gather(self.embeddings, ids[:, : len(self.spec.categorical)])
        return tf.sigmoid(self.logits(tf.gather(self.wide, ids), embedding_rows, self.normalised(numbers)))

    def call(self, inputs: dict[str, tf.Tensor]) -> tf.Tensor:
        rows = tf.shape(next(iter(inputs.values())))[0]
        strings = [inputs[name] for name in self.spec.categorical]
        numbers = [inputs[name] for name in self.spec.numeric]
        return self.probability(
            fingerprint(tf.stack(strings, axis=1)) if strings else tf.zeros((rows, 0), tf.int64),
            tf.stack(numbers, axis=1) if numbers else tf.zeros((rows, 0), tf.float32),
        )

    def get_config(self) -> dict[str, Any]:
        own = {
            "spec": self.spec.to_json(),
            "hidden": self.hidden,
            "embedding_dim": self.embedding_dim,
            "seed": self.seed,
        }
        return {**super().get_config(), **own}


def build_model(spec: FeatureSpec, hidden: tuple[int, ...], embedding_dim: int, seed: int) -> keras.Model:
    """A model with one input a column: strings for categorical features, float32 for numeric ones."""
    inputs = {name: keras.Input((), name=name, dtype="string") for name in spec.categorical}
    inputs |= {name: keras.Input((), name=name, dtype="float32") for name in spec.numeric}
    network = WideDeep(spec.to_json(), list(hidden), embedding_dim, seed, name=LAYER)
    return keras.Model(inputs, network(inputs), name="wide_and_deep")


def network_of(model: keras.Model) -> WideDeep:
    """The Wide & Deep layer of a model that `build_model` made or Keras loaded."""
    network: WideDeep = model.get_layer(LAYER)
    return network
