"""Training of the ranking network: an Arrow table of examples in, a Keras model out."""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import keras
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import tensorflow as tf

from ml.evaluation.metrics import auc, log_loss
from ml.ranking.losses import Loss
from ml.ranking.network.columns import Encoded, encode, numbers
from ml.ranking.network.features import FeatureSpec
from ml.ranking.network.fingerprints import value_fingerprints
from ml.ranking.network.objectives import POSITIVE, Objective, check_weights
from ml.ranking.network.scoring import score
from ml.ranking.network.wide_deep import WideDeep, build_model, network_of
from ml.ranking.optimisers import Optimisers
from ml.ranking.passes import ExampleTensors, TrainingPass
from ml.ranking.targets import Targets, list_splits, targets_of

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class TrainingParams:
    """Hyper-parameters.

    Both penalties are in the units of the summed loss. A wide weight stays zero until its examples together pull it by more
    than `wide_l1`. Each example adds `embedding_l2` times the squares of its embeddings.

    A listwise loss learns the order within each list (`ml.ranking.losses`). `objectives` weighs what lists should bring
    (`ml.ranking.network.objectives`). The loss is the sum of the objectives' losses by these weights, in units of the weight of
    `positive`. `ensemble_size` is the number of deep towers.
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
    loss: Loss = "log_loss"
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


def train(
    examples: pa.Table,
    holdout: pa.Table | None,
    spec: FeatureSpec,
    params: TrainingParams,
    on_epoch: Callable[[Epoch], None] = lambda _: None,
) -> TrainedModel:
    """Trains Wide & Deep, wide part and deep towers together.

    `examples` and `holdout` have the columns of `spec`, `label` (0 or 1) and optionally `label_weight` (at least 0). A listwise
    loss also needs `targets.LIST_KEYS`, and the rows of a list together. Each further objective has columns of its own
    (`Objective`) and needs `platform`. The holdout is measured after each epoch, for `positive`. It never chooses anything.
    The same tables, params and number of TensorFlow threads give the same weights, bit by bit.

    Raises:
        ValueError: there is nothing to learn from, a column is missing or unreadable, or training diverged.
    """
    model, tensors = _prepared(examples, spec, params)
    network, shuffle = network_of(model), np.random.default_rng(params.seed)
    optimisers = Optimisers(network, params.wide_learning_rate, params.wide_l1, params.deep_learning_rate)
    one_pass = TrainingPass(network, optimisers, params.loss, params.batch_size, params.embedding_l2)
    history = []
    for number in range(1, params.epochs + 1):
        loss = one_pass.run(tensors, shuffle.permutation(len(tensors.splits) - 1).astype(np.int32))
        if not np.isfinite(loss):
            raise ValueError(f"training diverged in epoch {number} (loss {loss}); lower the learning rates in {params}")
        epoch = Epoch(number, loss, *_measured(model, spec, holdout))
        history.append(epoch)
        on_epoch(epoch)
    return TrainedModel(model, spec, tuple(history))


def _prepared(examples: pa.Table, spec: FeatureSpec, params: TrainingParams) -> tuple[keras.Model, ExampleTensors]:
    """The model as it is before training, and the examples as its network reads them."""
    check_weights(params.objectives)
    objectives = [Objective(name, weight) for name, weight in params.objectives.items() if weight]
    targets = [targets_of(examples, objective, "training examples") for objective in objectives]
    encoded = encode(examples, spec, "training examples")
    for name, column in zip(spec.numeric, encoded.numbers.T, strict=True):
        if not np.isfinite(column).any():
            log.warning("feature '%s' has no finite value in the training examples: it teaches nothing", name)
    model = _initial_model(encoded, targets, spec, params)
    rows = np.arange(examples.num_rows + 1, dtype=np.int32)
    splits = list_splits(examples) if params.loss == "listwise" else rows
    return model, _tensors(network_of(model), encoded, targets, splits)


def _initial_model(
    encoded: Encoded, targets: Sequence[Targets], spec: FeatureSpec, params: TrainingParams
) -> keras.Model:
    """A model that knows the examples' values and distributions. Its last biases are the log odds of each objective."""
    values = np.unique(value_fingerprints(spec.categorical, encoded.fingerprints).numpy())
    objectives = [each.objective for each in targets]
    model = build_model(
        spec, params.hidden, params.embedding_dim, params.ensemble_size, params.seed, values, objectives
    )
    network = network_of(model)
    network.adapt(encoded.numbers)
    last = network.biases[-1]
    last.assign(np.broadcast_to([each.log_odds for each in targets], last.shape))
    return model


def _tensors(
    network: WideDeep, encoded: Encoded, targets: Sequence[Targets], splits: npt.NDArray[np.int32]
) -> ExampleTensors:
    return ExampleTensors(
        network.table_rows(encoded.fingerprints),
        tf.constant(encoded.numbers),
        tf.constant(np.stack([each.labels for each in targets], axis=1), tf.float32),
        tf.constant(np.stack([each.weights for each in targets], axis=1), tf.float32),
        [
            (network.sequence_rows(feature, values), tf.constant(sequence_of))
            for feature, (values, sequence_of) in zip(network.spec.sequences, encoded.sequences, strict=True)
        ],
        tf.constant(splits),
    )


def _measured(model: keras.Model, spec: FeatureSpec, holdout: pa.Table | None) -> tuple[float | None, float | None]:
    """Log loss and AUC of the probability of `positive` on the holdout, or None twice without one."""
    if holdout is None or not holdout.num_rows:
        return None, None
    scores, labels = score(model, spec, holdout, POSITIVE), numbers(holdout["label"], "label", "holdout")
    return log_loss(labels, scores), auc(labels, scores)
