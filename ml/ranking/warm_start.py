"""Starting a network from one that was trained before: whatever both have is taken over, all else stays as it began."""

from dataclasses import dataclass

import keras

from ml.ranking.wide_deep import WideDeep


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
    - The dense layers are kept where `hidden` and `embedding_dim` are the same: of the first one the rows that read a
      feature which both have, of the others all. What the first layer has learned of numbers holds although their
      distribution is learned anew: P(X <= x) means the same.
    """
    shared, same_width = slice(1 + parent.values), network.embedding_dim == parent.embedding_dim
    crosses = [cross for cross in network.spec.crosses if cross in parent.spec.crosses]
    ours, theirs = network.inputs_of_features(), parent.inputs_of_features()
    same_layers = same_width and network.hidden == parent.hidden
    features = [name for name in ours if name in theirs] if same_layers else []

    for kind in ("learned", "squares"):
        wide, embeddings, *dense = getattr(network, kind)
        old_wide, old_embeddings, *old_dense = getattr(parent, kind)
        _keep(wide, shared, old_wide, shared)
        for cross in crosses:
            _keep(wide, network.buckets_of(cross), old_wide, parent.buckets_of(cross))
        if same_width:
            _keep(embeddings, shared, old_embeddings, shared)
        if same_layers:
            inputs = [position for name in features for position in ours[name]]
            _keep(dense[0], inputs, old_dense[0], [position for name in features for position in theirs[name]])
            for weights, old_weights in zip(dense[1:], old_dense[1:], strict=True):
                weights.assign(old_weights)
    return TakenOver(
        parent.values,
        network.values - parent.values,
        same_width,
        tuple(features),
        tuple(name for name in network.spec.columns if name not in features),
        tuple(cross.name for cross in crosses),
    )


def _keep(weights: keras.Variable, rows: slice | list[int], old: keras.Variable, old_rows: slice | list[int]) -> None:
    values = weights.numpy()
    values[rows] = old.numpy()[old_rows]
    weights.assign(values)
