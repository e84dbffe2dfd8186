"""Wide & Deep (Cheng et al. 2016, arXiv 1606.07792) as one Keras model that scores raw columns.

The wide part is linear in categorical features and their cross-products. The deep part is an ensemble of deep towers: ReLU
layers over embeddings and normalised numbers. The towers share the embeddings and the wide part. Each tower has layers of its
own and learns by its own loss (as in TabM, Gorishniy et al. 2025, arXiv 2410.24210). Each objective has a logistic output:
the sum of the objective's wide weights and the towers' mean.

All reading of raw columns is inside the model:

- A categorical value has its own row in the tables of weights and embeddings. The model stores a fingerprint of each value.
  Null and the empty string are one value. A value that training never saw has row `UNSEEN`. That row is zero and never learns.
- A cross is hashed into buckets. Two values in one bucket share one weight.
- A number gives three inputs (`number_inputs`).
- A sequence holds the newest fifty positive interactions of the person. The candidate attends to them (`attention`).
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict
from itertools import chain, pairwise
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf

from .attention import Sequences, attended
from .features import Feature, FeatureSpec
from .fingerprints import (
    LONGEST,
    Fingerprints,
    fingerprint,
    sequence_fingerprints,
    tuple_fingerprints,
    value_fingerprints,
)
from .number_inputs import QUANTILES, Floats, distributions, normalised
from .objectives import POSITIVE_ALONE, Objective, shares_on

# for each sequence feature: fingerprints of the distinct sequences (sequences, LONGEST), and which of them is each row's
SequenceFingerprints = Sequence[tuple[tf.Tensor, tf.Tensor]]

UNSEEN = 0  # the row of every value that training did not see
LAYER = "crossrec.wide_deep"  # the dot keeps it apart from every column name
_BEYOND = 2**63 - 1  # sorts after every fingerprint: a search never ends outside the table


class WideDeep(keras.layers.Layer):  # type: ignore[misc]  # Keras has no type hints
    """The whole network, from fingerprints and raw numbers to the score that ranks.

    The score is the weighted mean of the objectives' probabilities, over the objectives that occur on the row's platform. With
    one objective the score is its probability.

    Keras does not know this class by a registered name: in one process there may be several, because each registered version
    brings its own. Whoever loads a model passes the class as `custom_objects`.

    Args:
        spec: the features, as `FeatureSpec.to_json` writes them.
        hidden: units of the ReLU layers.
        embedding_dim: width of the embedding of a categorical value.
        ensemble_size: number of deep towers. A row's log odds are the mean over the towers.
        seed: of every initial weight.
        values: number of known values of categorical features.
        objectives: what each output stands for, as `dataclasses.asdict` gives it. Empty: `positive` alone.
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
        sequence = (tf.TensorSpec((None, LONGEST), tf.int64), tf.TensorSpec((None,), tf.int32))
        self.score_batch = tf.function(
            self.weighted_probability,
            input_signature=[
                tf.TensorSpec((None, len(self.spec.categorical)), tf.int64),
                tf.TensorSpec((None, len(self.spec.numeric)), tf.float32),
                tf.TensorSpec((None, len(self.objectives)), tf.float32),
                [sequence for _ in self.spec.sequences],
            ],
        )

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

    # --- weights

    def build(self, input_shape: Any = None) -> None:
        numbers, sequences = len(self.spec.numeric), self.spec.sequences
        self.quantiles = self.add_weight(
            name="quantiles", shape=(numbers, QUANTILES), initializer="zeros", trainable=False
        )
        self.moments = self.add_weight(name="moments", shape=(numbers, 2), initializer="ones", trainable=False)
        self.known_values = self.add_weight(
            name="known_values", shape=(self.values + 1,), dtype="int64", initializer="zeros", trainable=False
        )
        # a single objective has no dimension: sums over it would add up in another order
        outputs = () if len(self.objectives) == 1 else (len(self.objectives),)
        self.wide = self.add_weight(name="wide", shape=(int(self._offsets[-1]), *outputs), initializer="zeros")
        self.embeddings = self.add_weight(
            name="embeddings", shape=(1 + self.values, self.embedding_dim), initializer=self._initial_embeddings
        )
        self.attention = {
            name: (
                self.add_weight(name=f"similarity_{name}", shape=(self.embedding_dim,) * 2, initializer="identity"),
                self.add_weight(name=f"position_{name}", shape=(LONGEST,), initializer="zeros"),
            )
            for name in (sequence.name for sequence in sequences)
        }
        self._build_towers((len(self.spec.categorical) + 2 * len(sequences)) * self.embedding_dim + 3 * numbers)
        super().build(input_shape)

    def _build_towers(self, width: int) -> None:
        """Makes each layer's kernel (towers, inputs, units) and bias (towers, 1, units); the first layer reads `width` inputs."""
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

    def _initial_kernels(self, depth: int) -> Callable[..., tf.Tensor]:
        """Draws the kernels of one layer (towers, inputs, units). Each tower has a seed of its own."""
        draw = keras.initializers.HeUniform if depth < len(self.hidden) else keras.initializers.GlorotUniform

        def draw_each(shape: tuple[int, int, int], dtype: str) -> tf.Tensor:
            seeds = np.random.SeedSequence([self.seed, 1 + depth]).generate_state(shape[0])
            return tf.stack([draw(seed=int(seed))(shape[1:], dtype) for seed in seeds])

        return draw_each

    def _initial_embeddings(self, shape: tuple[int, int], dtype: str) -> npt.NDArray[np.float32]:
        embeddings = np.random.default_rng(self.seed).uniform(-0.05, 0.05, shape).astype(dtype)
        embeddings[UNSEEN] = 0
        return embeddings

    @property
    def learned(self) -> list[keras.Variable]:
        """Every weight that training changes: wide, embeddings, two for each sequence, and each layer's kernel and bias."""
        layers = zip(self.kernels, self.biases, strict=True)
        return [self.wide, self.embeddings, *chain.from_iterable([*self.attention.values(), *layers])]

    def adapt(self, numbers: Floats) -> None:
        """Stores each number's distribution, from training rows float32 (rows, numeric features)."""
        quantiles, moments = distributions(numbers)
        self.quantiles.assign(quantiles)
        self.moments.assign(moments)

    def know_values(self, values: Fingerprints) -> None:
        """Gives the n-th of these fingerprints of (feature, value) row n, from 1. They are sorted and distinct."""
        self.known_values.assign(np.append(values, _BEYOND))

    # --- rows of the tables

    def table_rows(self, fingerprints: tf.Tensor) -> tf.Tensor:
        """Rows of the wide table, int32 (rows, categorical features and then crosses).

        Rows of categorical features are rows of the embeddings too. `fingerprints`: int64 (rows, categorical features).
        """
        names, crosses = self.spec.categorical, self.spec.crosses
        if not names:
            return tf.zeros((tf.shape(fingerprints)[0], 0), tf.int32)
        rows = self._rows_of(value_fingerprints(names, fingerprints))
        if crosses:
            columns = [[names.index(part) for part in cross.of] for cross in crosses]
            hashed = tuple_fingerprints(columns, fingerprints) % self._buckets + self._offsets[:-1]
            rows = tf.concat([rows, tf.cast(hashed, tf.int32)], axis=1)
        return rows

    def sequence_rows(self, sequence: Feature, fingerprints: tf.Tensor) -> tf.Tensor:
        """Rows of the embeddings, int32 like `fingerprints` (sequences, LONGEST); `UNSEEN` for no value and an unknown one."""
        return tf.where(fingerprints == 0, UNSEEN, self._rows_of(value_fingerprints(sequence.of, fingerprints)))

    def buckets_of(self, cross: Feature) -> slice:
        """The rows of a cross in the wide table."""
        start = int(self._offsets[self.spec.crosses.index(cross)])
        return slice(start, start + cross.buckets)

    def _rows_of(self, values: tf.Tensor) -> tf.Tensor:
        position = tf.reshape(tf.searchsorted(self.known_values, tf.reshape(values, [-1])), tf.shape(values))
        return tf.where(tf.gather(self.known_values, position) == values, position + 1, UNSEEN)

    # --- from rows to scores

    def logits(
        self, wide_rows: tf.Tensor, embedding_rows: tf.Tensor, numbers: tf.Tensor, sequences: Sequence[Sequences] = ()
    ) -> list[tf.Tensor]:
        """Each objective's log odds by tower, a list of (rows, towers).

        Args:
            wide_rows: looked-up wide weights (rows, looked up), or (rows, looked up, objectives) with several objectives.
            embedding_rows: looked-up embeddings (rows, categorical features, dim).
            numbers: (rows, 3 x numeric features), as `number_inputs.normalised` gives them.
            sequences: of each sequence feature.
        """
        width = len(self.spec.categorical) * self.embedding_dim
        deep = tf.concat([tf.reshape(embedding_rows, (tf.shape(wide_rows)[0], width)), numbers], axis=1)
        for feature, own in zip(self.spec.sequences, sequences, strict=True):
            candidates = embedding_rows[:, self.spec.categorical.index(feature.of[0])]
            deep = tf.concat([deep, attended(candidates, own, *self.attention[feature.name])], axis=1)
        *hidden, last = zip(self.kernels, self.biases, strict=True)
        for kernel, bias in hidden:
            deep = tf.nn.relu(tf.matmul(deep, kernel) + bias)
        deep = tf.transpose(tf.matmul(deep, last[0]) + last[1], (2, 1, 0))
        wide = tf.reduce_sum(wide_rows, axis=1)
        by_objective = [wide] if len(self.objectives) == 1 else tf.unstack(wide, axis=1)
        return [deep[position] + each[:, None] for position, each in enumerate(by_objective)]

    def weighted_probability(
        self, fingerprints: tf.Tensor, numbers: tf.Tensor, weights: tf.Tensor, sequences: SequenceFingerprints
    ) -> tf.Tensor:
        """The objectives' probabilities, each times its weight, summed: float32 (rows,).

        Args:
            fingerprints: int64 (rows, categorical features).
            numbers: raw, float32 (rows, numeric features).
            weights: float32 (rows, objectives).
            sequences: fingerprints of each sequence feature.
        """
        rows = self.table_rows(fingerprints)
        embedding_rows = tf.gather(self.embeddings, rows[:, : len(self.spec.categorical)])
        looked_up = []
        for feature, (values, sequence_of) in zip(self.spec.sequences, sequences, strict=True):
            value_rows = self.sequence_rows(feature, values)
            looked_up.append(Sequences(tf.gather(self.embeddings, value_rows), value_rows != UNSEEN, sequence_of))
        inputs = normalised(numbers, self.quantiles, self.moments)
        logits = self.logits(tf.gather(self.wide, rows), embedding_rows, inputs, looked_up)
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
            self._shares_on(inputs["platform"]) if len(self.objectives) > 1 else tf.ones((rows, 1)),
            [(sequence_fingerprints(values), position) for values, position in distinct],
        )

    def _shares_on(self, platform: tf.Tensor) -> tf.Tensor:
        """What each objective counts on each row's platform, float32 (rows, objectives)."""
        known = sorted({name for objective in self.objectives for name in objective.platforms or ()})
        shares = shares_on(self.objectives, ["", *known])  # the first are those of a platform that taught nothing
        is_known = tf.cast(platform[:, None] == tf.constant(known, tf.string), tf.int32)
        return tf.gather(shares, tf.reduce_sum(is_known * tf.range(1, len(known) + 1), axis=1))


def build_model(
    spec: FeatureSpec,
    hidden: tuple[int, ...],
    embedding_dim: int,
    ensemble_size: int,
    seed: int,
    values: Fingerprints,
    objectives: Sequence[Objective] = POSITIVE_ALONE,
) -> keras.Model:
    """A model with one input for each column: strings for categorical features and sequences, float32 for numeric ones.

    It knows `values`: fingerprints of (feature, value), sorted and distinct. With several objectives `platform` is an input
    too, whether it is a feature or not.
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
    network.know_values(values)
    return model


def network_of(model: keras.Model) -> WideDeep:
    """The Wide & Deep layer of a model that `build_model` made or Keras loaded."""
    network: WideDeep = model.get_layer(LAYER)
    return network
