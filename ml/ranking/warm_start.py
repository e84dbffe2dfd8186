"""Starting a network from one that was trained before: whatever both have is taken over, all else stays as it began."""

from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import numpy.typing as npt

from ml.ranking.wide_deep import WideDeep

Places = slice | list[int]
ALL = slice(None)


@dataclass(frozen=True)
class TakenOver:
    """What a network has from its parent, and what it has not.

    `values` counts rows of the tables, and `embeddings` says whether they came with their embeddings. `features` feed the
    dense layers as they did; where the layers differ there are none.
    """

    values: int
    new_values: int
    embeddings: bool
    features: tuple[str, ...]
    new_features: tuple[str, ...]
    crosses: tuple[str, ...]


def take_over(network: WideDeep, parent: WideDeep) -> TakenOver:
    """Gives `network`, which knows the values of `parent` in the same rows, the weights of what they have in common,
    and the sums of squared gradients beside them: what has been taught much moves little, as if training had never ended.

    - A value keeps its wide weight, and its embedding where that is as wide in both.
    - A cross of the same name, parts and buckets keeps its wide weights.
    - Outputs are kept by the name of their objective: a new one begins as it would without a parent.
    - What attends to a sequence is kept with it, where embeddings are as wide in both.
    - The dense layers are kept where `hidden`, `embedding_dim` and `members` are the same: of the first one the rows that read a
      feature which both have, of the others all. What the first layer has learned of numbers holds although their
      distribution is learned anew: P(X <= x) means the same.
    """
    shared, same_width = slice(1 + parent.values), network.embedding_dim == parent.embedding_dim
    crosses = [cross for cross in network.spec.crosses if cross in parent.spec.crosses]
    ours, theirs = network.inputs_of_features(), parent.inputs_of_features()
    same_layers = same_width and (network.hidden, network.members) == (parent.hidden, parent.members)
    features = [name for name in ours if name in theirs] if same_layers else []
    alike = [each.name for each in network.spec.sequences if each in parent.spec.sequences] if same_width else []

    names, old_names = ([objective.name for objective in each.objectives] for each in (network, parent))
    outputs = [names.index(name) for name in names if name in old_names]
    old_outputs = [old_names.index(name) for name in names if name in old_names]

    for kind in ("learned", "squares"):
        wide, embeddings, *others = getattr(network, kind)
        old_wide, old_embeddings, *old_others = getattr(parent, kind)
        attention, dense = _parted(network, others)
        old_attention, old_dense = _parted(parent, old_others)
        _keep(wide, shared, old_wide, shared, outputs, old_outputs)
        for cross in crosses:
            _keep(wide, network.buckets_of(cross), old_wide, parent.buckets_of(cross), outputs, old_outputs)
        if same_width:
            _keep(embeddings, shared, old_embeddings, shared)
        for name in alike:
            for weights, old_weights in zip(attention[name], old_attention[name], strict=True):
                _keep(weights, ALL, old_weights, ALL)
        if same_layers:
            inputs = [position for name in features for position in ours[name]]
            old_inputs = [position for name in features for position in theirs[name]]
            for position, (weights, old_weights) in enumerate(zip(dense, old_dense, strict=True)):
                rows, old_rows = (inputs, old_inputs) if position == 0 else (ALL, ALL)
                of_outputs = position >= len(dense) - 2  # the last kernel and bias
                columns, old_columns = (outputs, old_outputs) if of_outputs else (ALL, ALL)
                _keep(weights, rows, old_weights, old_rows, columns, old_columns)
    return TakenOver(
        parent.values,
        network.values - parent.values,
        same_width,
        tuple(features),
        tuple(name for name in network.spec.columns if name not in features),
        tuple(cross.name for cross in crosses),
    )


def _parted(
    network: WideDeep, others: list[keras.Variable]
) -> tuple[dict[str, tuple[keras.Variable, keras.Variable]], list[keras.Variable]]:
    """What attends to each sequence, and the dense layers' kernels and biases."""
    ends = 2 * len(network.attention)
    pairs = zip(others[:ends:2], others[1:ends:2], strict=True)
    return dict(zip(network.attention, pairs, strict=True)), others[ends:]


def _keep(
    weights: keras.Variable,
    rows: Places,
    old: keras.Variable,
    old_rows: Places,
    columns: Places = ALL,
    old_columns: Places = ALL,
) -> None:
    values, old_values = weights.numpy(), old.numpy()
    table, old_table = (each[:, None] if each.ndim == 1 else each for each in (values, old_values))
    table[_cells(table, rows, columns)] = old_table[_cells(old_table, old_rows, old_columns)]
    weights.assign(values)


def _cells(table: npt.NDArray[np.float32], rows: Places, columns: Places) -> tuple[Any, ...]:
    """Where these rows and columns are, in every member's table of its own."""
    return ..., *np.ix_(np.arange(table.shape[-2])[rows], np.arange(table.shape[-1])[columns])
