"""Training that begins with an earlier model's weights."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from ml.ranking.features import Feature, FeatureSpec
from ml.ranking.training import TrainedModel, TrainingParams, score, train
from ml.ranking.warm_start import TakenOver, take_over
from ml.ranking.wide_deep import build_model, network_of, with_new_values

Examples = Callable[[int, int], pa.Table]
PARAMS = TrainingParams(epochs=2, batch_size=256, hidden=(8, 4), embedding_dim=4, wide_l1=0.5)
STILL = replace(PARAMS, epochs=1, deep_learning_rate=1e-6, wide_learning_rate=1e-5)


@pytest.fixture(scope="module")
def parent(make_examples: Examples, spec: FeatureSpec) -> TrainedModel:
    return train(make_examples(4_000, 1), None, spec, PARAMS)


@pytest.fixture(scope="module")
def later(make_examples: Examples) -> pa.Table:
    """Other examples, of which some have a genre that the parent never saw."""
    table = make_examples(2_000, 2)
    genres = ["new"] * 50 + table["genre"].to_pylist()[50:]
    return table.set_column(table.column_names.index("genre"), "genre", pa.array(genres))


def test_training_goes_on_where_the_parent_ended(parent: TrainedModel, later: pa.Table, spec: FeatureSpec) -> None:
    """With learning rates near zero the child is the parent: neither optimiser forgets what the weights were."""
    child = train(later, None, spec, STILL, parent=parent.model)
    ours, theirs = network_of(child.model), network_of(parent.model)
    known = 1 + theirs.values
    assert np.count_nonzero(theirs.wide.numpy()[:known]) > 0
    assert np.allclose(ours.wide.numpy()[:known], theirs.wide.numpy()[:known], atol=1e-3)
    for cross in spec.crosses:
        learned = theirs.wide.numpy()[theirs.buckets_of(cross)]
        assert np.count_nonzero(learned) > 0
        assert np.allclose(ours.wide.numpy()[ours.buckets_of(cross)], learned, atol=1e-3)
    assert np.allclose(ours.embeddings.numpy()[:known], theirs.embeddings.numpy(), atol=1e-4)
    attention = zip(ours.attention["lately"], theirs.attention["lately"], strict=True)
    for mine, learned in [
        *attention,
        *zip([*ours.kernels, *ours.biases], [*theirs.kernels, *theirs.biases], strict=True),
    ]:
        assert np.allclose(mine.numpy(), learned.numpy(), atol=1e-4)
    assert child.taken_over == TakenOver(theirs.values, 1, True, spec.columns, (), ("genre_x_age",))


def test_the_same_parent_gives_the_same_child(parent: TrainedModel, later: pa.Table, spec: FeatureSpec) -> None:
    before = [variable.numpy().tobytes() for variable in parent.model.weights]
    one, again = (train(later, None, spec, PARAMS, parent=parent.model) for _ in range(2))
    anew = train(later, None, spec, PARAMS)
    assert np.array_equal(score(one.model, spec, later), score(again.model, spec, later))
    assert not np.array_equal(score(one.model, spec, later), score(anew.model, spec, later))
    assert anew.taken_over is None
    assert [variable.numpy().tobytes() for variable in parent.model.weights] == before


def test_what_the_parent_has_not_begins_anew(parent: TrainedModel, later: pa.Table) -> None:
    """Without `noise` and one cross, with `age` and `recency` in other places and a feature more."""
    spec = FeatureSpec(
        (
            Feature("tone", "numeric"),
            Feature("age", "categorical"),
            Feature("genre", "categorical"),
            Feature("recency", "numeric"),
            Feature("genre_x_age", "cross", 100, ("genre", "age")),  # other buckets than the parent's
        )
    )
    later = later.append_column("tone", pa.array(np.arange(later.num_rows, dtype=np.float64)))
    child = train(later, None, spec, STILL, parent=parent.model)
    assert child.taken_over == TakenOver(
        network_of(parent.model).values, 1, True, ("age", "genre", "recency"), ("tone",), ()
    )
    ours, theirs = (network_of(model).kernels[0].numpy() for model in (child.model, parent.model))
    # the parent reads genre, age, then recency and noise three times; the child age, genre, then tone and recency
    assert np.allclose(ours[:, 0:4], theirs[:, 4:8], atol=1e-4)
    assert np.allclose(ours[:, 4:8], theirs[:, 0:4], atol=1e-4)
    assert np.allclose(ours[:, [9, 11, 13]], theirs[:, [8, 10, 12]], atol=1e-4)
    assert not np.allclose(ours[:, [8, 10, 12]], theirs[:, [9, 11, 13]], atol=1e-2)


def test_another_network_begins_with_the_values_weights_alone(
    parent: TrainedModel, later: pa.Table, spec: FeatureSpec
) -> None:
    values = network_of(parent.model).values
    for params, embeddings in ((replace(STILL, hidden=(6,)), True), (replace(STILL, embedding_dim=3), False)):
        child = train(later, None, spec, params, parent=parent.model)
        assert child.taken_over == TakenOver(values, 1, embeddings, (), spec.columns, ("genre_x_age",))


def test_a_child_that_learned_nothing_yet_scores_as_its_parent(
    parent: TrainedModel, make_examples: Examples, spec: FeatureSpec
) -> None:
    theirs = network_of(parent.model)
    more = with_new_values(theirs.known_values, np.arange(5))
    model = build_model(spec, PARAMS.hidden, PARAMS.embedding_dim, PARAMS.members, 99, more)
    ours = network_of(model)
    ours.quantiles.assign(theirs.quantiles)
    ours.moments.assign(theirs.moments)
    take_over(ours, theirs)
    table = make_examples(500, 3)
    assert np.array_equal(score(model, spec, table), score(parent.model, spec, table))
    for mine, learned in zip(ours.squares[1:], theirs.squares[1:], strict=True):  # and what taught them goes on
        assert np.array_equal(mine.numpy()[: learned.shape[0]], learned.numpy())
        assert learned.numpy().max() > 1e-6  # which is what they begin with
