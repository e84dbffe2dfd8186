from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pytest
import tensorflow as tf
from scipy.special import logit

from ml.ranking.network.attention import Sequences, attended
from ml.ranking.network.features import Feature, FeatureSpec
from ml.ranking.network.fingerprints import LONGEST, fingerprint, value_fingerprints
from ml.ranking.network.number_inputs import QUANTILES, normalised
from ml.ranking.network.scoring import score
from ml.ranking.network.wide_deep import UNSEEN, WideDeep, build_model, network_of
from ml.ranking.training import TrainedModel, TrainingParams, train

Examples = Callable[[int, int], pa.Table]


@pytest.fixture(scope="module")
def trained(make_examples: Examples, spec: FeatureSpec) -> TrainedModel:
    return train(make_examples(4_000, 1), None, spec, TrainingParams(epochs=2, batch_size=256, hidden=(16, 8)))


def one(table: pa.Table, **changed: object) -> pa.Table:
    """The first row with other values."""
    row = {**table.slice(0, 1).to_pylist()[0], **changed}
    return pa.Table.from_pylist([row], table.schema)


NO_VALUES = np.empty(0, np.int64)


def test_fingerprints_and_buckets_never_change() -> None:
    spec = FeatureSpec(
        (Feature("a", "categorical"), Feature("b", "categorical"), Feature("x", "cross", 10_000, ("a", "b")))
    )
    strings = fingerprint(tf.constant([["x", "y"], ["y", "x"], ["", "Zoë"]]))
    network = network_of(build_model(spec, (4,), 2, ensemble_size=2, seed=0, values=NO_VALUES))
    # published models depend on these: a change here makes every registered version score nonsense
    assert value_fingerprints(spec.categorical, strings).numpy()[0].tolist() == [
        7292312647232069615,
        1170619236543831951,
    ]
    assert (network.table_rows(strings).numpy()[:, 2] - network.buckets_of(spec.crosses[0]).start).tolist() == [
        9042,
        3198,
        3705,
    ]


def test_a_value_has_a_row_and_what_is_not_known_has_none() -> None:
    spec = FeatureSpec((Feature("a", "categorical"), Feature("b", "categorical")))

    def fingerprints(*rows: tuple[str, str]) -> tf.Tensor:
        return fingerprint(tf.constant(rows))

    values = np.unique(value_fingerprints(spec.categorical, fingerprints(("x", ""), ("y", ""))).numpy())
    assert len(values) == 3  # null and the empty string are a value
    network = network_of(build_model(spec, (4,), 2, ensemble_size=2, seed=0, values=values))
    assert network.known_values.numpy()[:-1].tolist() == values.tolist()
    known = network.table_rows(fingerprints(("x", ""), ("y", ""))).numpy()
    assert sorted({*known.ravel()}) == [1, 2, 3]
    assert known[0, 1] == known[1, 1]
    assert network.table_rows(fingerprints(("new", "x"))).numpy().tolist() == [[UNSEEN, UNSEEN]]  # b's x is not a's
    assert network.table_rows(fingerprints(("y", "other"))).numpy().tolist() == [[known[1, 0], UNSEEN]]
    assert not network.embeddings.numpy()[UNSEEN].any()


def test_numbers_become_distribution_logarithm_and_missing_flag() -> None:
    network = network_of(
        build_model(FeatureSpec((Feature("n", "numeric"),)), (4,), 2, ensemble_size=2, seed=0, values=NO_VALUES)
    )
    network.adapt(np.arange(1, QUANTILES + 1, dtype=np.float32)[:, None])
    values = np.array([[1], [QUANTILES / 2], [QUANTILES], [np.nan], [np.inf], [-np.inf], [10 * QUANTILES]], np.float32)
    distribution, logarithm, missing = normalised(values, network.quantiles, network.moments).numpy().T
    middle, top, bottom = 0.0, 1.0, 2 / QUANTILES - 1
    assert distribution == pytest.approx([bottom, middle, top, 0, top, bottom, top])
    assert missing.tolist() == [0, 0, 0, 1, 0, 0, 0]
    assert logarithm[3] == 0
    assert logarithm[2] == logarithm[4] == logarithm[6]  # beyond the training range is the range's end
    seen = np.log1p(np.arange(1, QUANTILES + 1))
    assert logarithm[0] == pytest.approx((np.log(2) - seen.mean()) / seen.std(), rel=1e-5)


def test_missing_unseen_and_infinite_inputs_have_a_score(trained: TrainedModel, make_examples: Examples) -> None:
    table = make_examples(10, 2)

    def scored(**changed: object) -> float:
        return float(score(trained.model, trained.spec, one(table, **changed))[0])

    assert scored(recency=None) == scored(recency=float("nan"))
    assert scored(recency=None) != scored(recency=0.0)
    assert scored(recency=float("inf")) == scored(recency=1e30)
    assert scored(genre=None) == scored(genre="")
    assert 0 < scored(genre="never seen") < 1
    network = network_of(trained.model)
    assert not network.wide.numpy()[UNSEEN]  # it teaches nothing
    assert not network.embeddings.numpy()[UNSEEN].any()
    assert scored(genre="never seen", age="a1") != scored(genre="g1", age="a1")


def test_log_odds_are_the_mean_of_towers_that_differ(make_examples: Examples, spec: FeatureSpec) -> None:
    table = make_examples(500, 1)
    params = TrainingParams(epochs=1, batch_size=100, hidden=(8, 4), ensemble_size=3)
    together = train(table, None, spec, params).model
    network = network_of(together)

    def alone(tower: int) -> npt.NDArray[np.float32]:
        model = build_model(
            spec, params.hidden, params.embedding_dim, 1, params.seed, network.known_values.numpy()[:-1]
        )
        own = network_of(model)
        for name in ("quantiles", "moments", "wide", "embeddings"):
            getattr(own, name).assign(getattr(network, name))
        for mine, theirs in zip(own.attention["lately"], network.attention["lately"], strict=True):
            mine.assign(theirs)
        for mine, theirs in zip([*own.kernels, *own.biases], [*network.kernels, *network.biases], strict=True):
            mine.assign(theirs[tower : tower + 1])
        return logit(score(model, spec, table))

    towers = np.stack([alone(tower) for tower in range(params.ensemble_size)])
    assert towers.std(axis=0).min() > 1e-4
    assert np.allclose(towers.mean(axis=0), logit(score(together, spec, table)), atol=1e-4)


def test_what_is_like_the_candidate_and_newer_counts_more() -> None:
    first, second = [1.0, 0.0], [0.0, 1.0]
    interacted = tf.constant([first, second] + [[7.0, 7.0]] * (LONGEST - 2), shape=(1, LONGEST, 2))

    def mean(candidate: list[float], known: int, position: npt.NDArray[np.float32]) -> list[float]:
        is_known = tf.constant([[place < known for place in range(LONGEST)]])
        sequences = Sequences(interacted, is_known, tf.constant([0]))
        found = attended(tf.constant([candidate]), sequences, tf.eye(2), tf.constant(position)).numpy()[0]
        assert found[2:] == pytest.approx(found[:2] * candidate)
        return list(found[:2])

    alike, newest = np.zeros(LONGEST, np.float32), np.eye(LONGEST, dtype=np.float32)[0]
    a_little, more = 1 / (1 + np.e), np.e / (1 + np.e)  # softmax of 0 and 1
    assert mean(first, 2, alike) == pytest.approx([more, a_little])
    assert mean(second, 2, alike) == pytest.approx([a_little, more])
    assert mean(second, 1, alike) == pytest.approx(first)
    assert mean(second, 0, alike) == [0, 0]
    assert mean(second, 2, newest) == pytest.approx([0.5, 0.5])


def test_attention_begins_with_likeness_alone_and_training_changes_it(trained: TrainedModel, spec: FeatureSpec) -> None:
    params = TrainingParams()
    fresh = network_of(build_model(spec, (4,), params.embedding_dim, ensemble_size=2, seed=0, values=NO_VALUES))
    similarity, position = (weight.numpy() for weight in fresh.attention["lately"])
    assert np.array_equal(similarity, np.eye(params.embedding_dim))
    assert not position.any()
    similarity, position = (weight.numpy() for weight in network_of(trained.model).attention["lately"])
    assert not np.array_equal(similarity, np.eye(params.embedding_dim))
    assert position.any()


def test_a_cross_learns_what_its_parts_cannot() -> None:
    random = np.random.default_rng(0)
    a, b = random.integers(2, size=(2, 4_000))
    table = pa.table({"a": a.astype(str), "b": b.astype(str), "label": a ^ b})
    parts = (Feature("a", "categorical"), Feature("b", "categorical"))
    params = TrainingParams(epochs=3, batch_size=500, hidden=())  # a linear deep tower cannot learn XOR either
    without = train(table, table, FeatureSpec(parts), params)
    crossed = train(table, table, FeatureSpec((*parts, Feature("x", "cross", 1_000, ("a", "b")))), params)
    assert without.history[-1].holdout_auc == pytest.approx(0.5, abs=0.1)
    assert crossed.history[-1].holdout_auc == 1.0


def test_l1_keeps_wide_weights_at_zero_unless_many_examples_pull(make_examples: Examples, spec: FeatureSpec) -> None:
    table = make_examples(4_000, 3)

    def nonzero(l1: float) -> int:
        params = TrainingParams(epochs=1, batch_size=500, hidden=(8,), wide_l1=l1)
        return int(np.count_nonzero(network_of(train(table, None, spec, params).model).wide.numpy()))

    free, some, none = nonzero(0.0), nonzero(30.0), nonzero(1e9)
    assert 0 == none < some < free


def test_saved_model_alone_scores_raw_columns(trained: TrainedModel, make_examples: Examples, tmp_path: Path) -> None:
    table = make_examples(500, 4)
    genres = ["never seen", None, *table["genre"].to_pylist()[2:]]
    table = table.set_column(table.column_names.index("genre"), "genre", pa.array(genres))
    trained.model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras", custom_objects={"WideDeep": WideDeep})
    fast = score(trained.model, trained.spec, table)
    raw = {
        "recency": table["recency"].to_numpy(),
        "noise": table["noise"].to_numpy(),
        "genre": tf.constant([genre or "" for genre in genres]),
        "age": tf.constant(table["age"].to_pylist()),
        "lately": tf.constant(table["lately"].to_pylist()),
    }
    assert np.array_equal(score(loaded, trained.spec, table), fast)
    assert np.allclose(loaded.predict(raw, verbose=0), fast, atol=1e-6)
    assert fast.dtype == np.float32
