import logging
from collections.abc import Callable
from dataclasses import replace

import keras
import numpy as np
import pyarrow as pa
import pytest
import tensorflow as tf

from ml.ranking.losses import listwise_loss
from ml.ranking.network.attention import Sequences
from ml.ranking.network.features import Feature, FeatureSpec
from ml.ranking.network.fingerprints import fingerprint, sequence_fingerprints
from ml.ranking.network.number_inputs import normalised
from ml.ranking.network.scoring import not_finite, score
from ml.ranking.network.wide_deep import UNSEEN, build_model, network_of
from ml.ranking.training import Epoch, TrainedModel, TrainingParams, train

Examples = Callable[[int, int], pa.Table]
QUICK = TrainingParams(epochs=1, batch_size=500, hidden=(8,), embedding_dim=4, seed=5)


def weights(trained: TrainedModel) -> list[bytes]:
    return [variable.numpy().tobytes() for variable in trained.model.weights]


def test_learns_the_signal_and_reports_each_epoch(make_examples: Examples, spec: FeatureSpec) -> None:
    seen: list[Epoch] = []
    params = replace(QUICK, epochs=4, batch_size=256, hidden=(32, 16))
    trained = train(make_examples(8_000, 1), make_examples(4_000, 2), spec, params, seen.append)
    assert tuple(seen) == trained.history
    assert [epoch.epoch for epoch in seen] == [1, 2, 3, 4]
    assert seen[-1].loss < seen[0].loss
    assert seen[-1].holdout_auc is not None
    assert seen[-1].holdout_auc > 0.83  # the true probabilities reach 0.86 where recency is not missing


def test_same_seed_same_weights(make_examples: Examples, spec: FeatureSpec) -> None:
    table = make_examples(3_000, 1)
    first, again = train(table, None, spec, QUICK), train(table, None, spec, QUICK)
    other = train(table, None, spec, replace(QUICK, seed=6))
    assert weights(first) == weights(again)
    assert weights(first) != weights(other)


def test_one_step_is_what_keras_ftrl_and_adagrad_do(make_examples: Examples, spec: FeatureSpec) -> None:
    table = make_examples(300, 1)
    params = replace(QUICK, batch_size=300, wide_l1=2.0, embedding_l2=0.5)
    trained = network_of(train(table, None, spec, params).model)

    oracle = network_of(
        build_model(
            spec,
            params.hidden,
            params.embedding_dim,
            params.ensemble_size,
            params.seed,
            trained.known_values.numpy()[:-1],
        )
    )
    numbers = np.column_stack([table[name].to_numpy() for name in spec.numeric]).astype(np.float32)
    label = table["label"].to_numpy().astype(np.float32)
    oracle.adapt(numbers)
    oracle.biases[-1].assign(np.full(oracle.biases[-1].shape, np.log(label.mean() / (1 - label.mean()))))
    strings = tf.constant(np.column_stack([table[name].to_numpy() for name in spec.categorical]).tolist())
    wide = keras.optimizers.Ftrl(
        params.wide_learning_rate, initial_accumulator_value=1.0, l1_regularization_strength=params.wide_l1
    )
    deep = keras.optimizers.Adagrad(params.deep_learning_rate, initial_accumulator_value=1e-6, epsilon=1e-12)
    deep_variables = [variable for variable in oracle.trainable_variables if variable is not oracle.wide]
    ids = oracle.table_rows(fingerprint(strings))
    [sequence] = spec.sequences
    lately = oracle.sequence_rows(sequence, sequence_fingerprints(tf.constant(table["lately"].to_pylist())))
    assert np.count_nonzero(lately.numpy() == UNSEEN) > 0
    with tf.GradientTape() as tape:
        embedded = tf.gather(oracle.embeddings, ids[:, : len(spec.categorical)])
        sequences = Sequences(tf.gather(oracle.embeddings, lately), lately != UNSEEN, tf.range(len(label)))
        inputs = normalised(numbers, oracle.quantiles, oracle.moments)
        [logits] = oracle.logits(tf.gather(oracle.wide, ids), embedded, inputs, [sequences])
        labels = np.repeat(label[:, None], params.ensemble_size, axis=1)
        loss = len(label) * keras.losses.BinaryCrossentropy(from_logits=True)(labels, logits)
        loss += params.embedding_l2 * tf.reduce_sum(embedded**2)
    gradients = tape.gradient(loss, [oracle.wide.value, *[variable.value for variable in deep_variables]])
    wide.apply([tf.convert_to_tensor(gradients[0])], [oracle.wide])
    deep.apply([tf.convert_to_tensor(gradient) for gradient in gradients[1:]], deep_variables)

    assert np.count_nonzero(trained.wide.numpy()) > 0
    for ours, theirs in zip(trained.trainable_variables, oracle.trainable_variables, strict=True):
        assert np.allclose(ours.numpy(), theirs.numpy(), atol=2e-4), ours.path


def test_a_sequence_teaches_who_likes_more_of_the_same() -> None:
    """Somewhere in each sequence is one film that is liked; without the sequence no film is any likelier than another."""
    random = np.random.default_rng(1)

    def make(rows: int) -> pa.Table:
        liked, film = random.integers(8, size=(2, rows))
        others = random.integers(8, 16, size=(rows, 4))
        place = random.integers(5, size=rows)
        lately = [np.insert(row, at, kind) for row, at, kind in zip(others, place, liked, strict=True)]
        return pa.table(
            {
                "film": film.astype(str),
                "lately": pa.array(["|".join(map(str, row)) for row in lately]).dictionary_encode(),
                "label": (liked == film).astype(int),
            }
        )

    spec = FeatureSpec((Feature("film", "categorical"), Feature("lately", "sequence", of=("film",))))
    params = replace(QUICK, epochs=6, batch_size=250, hidden=(16,), embedding_dim=8)
    learned, held = make(6_000), make(2_000)
    [*_, last] = train(learned, held, spec, params).history
    assert last.holdout_auc is not None
    assert last.holdout_auc > 0.95
    anybodys = held.set_column(1, "lately", held["lately"].take(random.permutation(held.num_rows)))
    [*_, shuffled] = train(learned, anybodys, spec, params).history
    assert shuffled.holdout_auc == pytest.approx(0.5, abs=0.1)


def test_a_sequence_is_read_by_its_newest_values_that_are_known(make_examples: Examples, spec: FeatureSpec) -> None:
    table = make_examples(600, 1)
    model = train(table, None, spec, QUICK).model

    def scored(lately: str | None) -> bytes:
        column = pa.repeat(pa.scalar(lately, pa.string()), table.num_rows)
        at = table.column_names.index("lately")
        return score(model, spec, table.set_column(at, "lately", column)).tobytes()

    assert scored(None) == scored("") == scored("never seen|nor this")
    assert scored("g1") != scored("") != scored("g1|g2")
    assert scored("g1|g2") != scored("g2|g1")  # the newest first
    newest = "|".join(["g1", "g2", "g3"] * 17)
    assert scored(newest[: 50 * 3 - 1]) == scored(newest + "|g1|g1")


def test_weights_count_rows(make_examples: Examples) -> None:
    spec = FeatureSpec((Feature("genre", "categorical"), Feature("age", "categorical")))
    table = make_examples(400, 1)
    repeats = np.full(400, 2)
    for label in (0, 1):  # twice in the mean, both
        repeats[np.flatnonzero(table["label"].to_numpy() == label)[:40]] = [1, 3] * 20
    params = replace(QUICK, batch_size=2_000)
    weighted = train(table.append_column("label_weight", pa.array(repeats.astype(float))), None, spec, params)
    repeated = train(table.take(np.repeat(np.arange(400), repeats)), None, spec, params)
    assert weighted.history[0].loss == pytest.approx(repeated.history[0].loss, rel=1e-6)


def test_scores_are_probabilities_whatever_positives_weigh(make_examples: Examples, spec: FeatureSpec) -> None:
    table = make_examples(4_000, 1)
    positive = table["label"].to_numpy() == 1
    weights = np.where(positive, np.where(np.arange(4_000) % 2, 0.1, 0.5), 1.0)
    model = train(table.append_column("label_weight", pa.array(weights)), None, spec, replace(QUICK, epochs=3)).model
    assert score(model, spec, table).mean() == pytest.approx(positive.mean(), rel=0.1)


@pytest.mark.parametrize(
    ("column", "values", "message"),
    [
        ("label", [0] * 100, "none of 100 rows is positive"),
        ("label", [1] * 100, "all 100 rows are positive"),
        ("label", [0, 2] * 50, "label must be 0 or 1, never null .50 of 100"),
        ("label", [0, 1, 1, None] * 25, "label must be 0 or 1, never null .25 of 100"),
        ("label_weight", [1.0, -1.0] * 50, "label_weight must be a finite number of at least 0 .50 of 100"),
        ("label_weight", [0.0] * 100, "every row with label 0 weighs nothing"),
        ("recency", ["soon"] * 100, "numeric feature 'recency' is string, which cannot be read as a number"),
        ("genre", [["crime"]] * 100, "column 'genre' is list<.*>, which cannot be read as text"),
    ],
)
def test_unusable_examples_are_refused(
    make_examples: Examples, spec: FeatureSpec, column: str, values: list[object], message: str
) -> None:
    table = make_examples(100, 1)
    table = table.drop_columns([column]) if column in table.column_names else table
    with pytest.raises(ValueError, match=f"training examples: .*{message}"):
        train(table.append_column(column, pa.array(values)), None, spec, QUICK)


def test_missing_columns_are_all_named(make_examples: Examples, spec: FeatureSpec) -> None:
    table = make_examples(100, 1)
    trained = train(table, None, spec, QUICK)
    lacking = table.drop_columns(["noise", "genre"])
    with pytest.raises(ValueError, match=r"candidates lacks 2 of the model's 5 feature columns: \['genre', 'noise'\]"):
        score(trained.model, spec, lacking)
    with pytest.raises(ValueError, match="training examples lacks 2"):
        train(lacking, None, spec, QUICK)
    with pytest.raises(ValueError, match="no column 'label'"):
        train(table.drop_columns(["label"]), None, spec, QUICK)


def test_a_model_scores_only_with_its_own_features(make_examples: Examples, spec: FeatureSpec) -> None:
    table = make_examples(100, 1)
    trained = train(table, None, spec, QUICK)
    with pytest.raises(ValueError, match="trained with other features"):
        score(trained.model, FeatureSpec((Feature("noise", "numeric"),)), table)


def test_an_empty_feature_is_reported(
    make_examples: Examples, spec: FeatureSpec, caplog: pytest.LogCaptureFixture
) -> None:
    table = make_examples(100, 1).drop_columns(["noise"]).append_column("noise", pa.nulls(100, pa.float64()))
    with caplog.at_level(logging.WARNING):
        trained = train(table, None, spec, QUICK)
    assert "feature 'noise' has no finite value" in caplog.text
    assert np.isfinite(score(trained.model, spec, table)).all()


def test_column_types_and_batches_do_not_matter(make_examples: Examples, spec: FeatureSpec) -> None:
    table = make_examples(1_000, 1)
    trained = train(table, None, spec, QUICK)
    plain = score(trained.model, spec, table)
    encoded = table.set_column(2, "genre", table["genre"].dictionary_encode())
    chunked = pa.concat_tables([encoded.slice(0, 300), encoded.slice(300)])
    assert np.allclose(score(trained.model, spec, chunked, batch_size=77), plain, atol=1e-6)
    assert score(trained.model, spec, table.slice(0, 0)).shape == (0,)


@pytest.mark.parametrize("kind", ["numeric", "categorical"])
def test_one_kind_of_feature_is_enough(make_examples: Examples, spec: FeatureSpec, kind: str) -> None:
    only = FeatureSpec(tuple(feature for feature in spec.features if feature.kind == kind))
    table = make_examples(1_000, 1)
    trained = train(table, table, only, QUICK)
    assert len(trained.model.inputs) == 2
    assert trained.history[0].holdout_auc is not None


# --- lists


def test_the_listwise_loss_by_hand() -> None:
    """Two lists: for one tower the positive holds 3/4 of the first's softmax, and the second's two positives 1/2 and 1/4.

    For the other tower all rows are equal.
    """
    logits = np.log(np.array([[3.0, 1.0, 2.0, 1.0, 1.0], np.ones(5)], np.float32)).T
    label = tf.constant([1.0, 0.0, 1.0, 1.0, 0.0])
    loss = listwise_loss(label, tf.ones(5), tf.constant(logits), tf.constant([0, 0, 1, 1, 1], tf.int64))
    one, other = -np.log(3 / 4) - (np.log(1 / 2) + np.log(1 / 4)) / 2, np.log(2) + np.log(3)
    assert float(loss) == pytest.approx((one + other) / 2, abs=1e-6)


def test_a_list_without_a_positive_teaches_no_order() -> None:
    lists, logits = tf.constant([0, 0, 1], tf.int64), tf.constant([[5.0], [1.0], [2.0]])
    assert float(listwise_loss(tf.constant([0.0, 0.0, 1.0]), tf.ones(3), logits, lists)) == 0.0


def in_lists(table: pa.Table, size: int) -> pa.Table:
    number = np.arange(table.num_rows) // size
    for name in ("platform", "person_id", "as_of"):
        table = table.add_column(0, name, pa.array([f"{name}{n}" for n in number]))
    return table


LISTWISE = replace(QUICK, loss="listwise", epochs=3, batch_size=256)


def test_order_within_lists_is_learned_and_scores_stay_probabilities(
    make_examples: Examples, spec: FeatureSpec
) -> None:
    held = make_examples(4_000, 2)
    trained = train(in_lists(make_examples(8_000, 1), 20), held, spec, LISTWISE)
    assert trained.history[-1].holdout_auc is not None
    assert trained.history[-1].holdout_auc > 0.83
    rate = np.mean(held["label"].to_numpy())
    assert score(trained.model, spec, held).mean() == pytest.approx(rate, rel=0.35)


def test_batches_hold_whole_lists(make_examples: Examples, spec: FeatureSpec) -> None:
    """One list longer than a batch is a batch, and the same seed gives the same weights."""
    table = in_lists(make_examples(3_000, 1), 700)
    first, again = train(table, None, spec, LISTWISE), train(table, None, spec, LISTWISE)
    assert weights(first) == weights(again)
    assert weights(first) != weights(train(table, None, spec, replace(LISTWISE, loss="log_loss")))


def test_a_batch_larger_than_all_examples_is_one_step(make_examples: Examples, spec: FeatureSpec) -> None:
    """Batch size times lists is beyond 32 bits here, as it is for 4,096 rows a batch and 600,000 lists."""
    table = make_examples(1_000, 1)
    whole, larger = (train(table, None, spec, replace(QUICK, batch_size=size)) for size in (1_000, 2**30))
    assert weights(whole) == weights(larger)


def test_rows_without_their_list_are_refused(make_examples: Examples, spec: FeatureSpec) -> None:
    with pytest.raises(ValueError, match=r"lack \['as_of', 'person_id', 'platform'\]"):
        train(make_examples(300, 1), None, spec, LISTWISE)
    apart = in_lists(make_examples(300, 1), 100).take([*range(0, 300, 2), *range(1, 300, 2)])
    with pytest.raises(ValueError, match="some list's rows are apart"):
        train(apart, None, spec, LISTWISE)


def test_numbers_that_are_none_are_counted_and_missing_ones_are_not() -> None:
    spec = FeatureSpec(tuple(Feature(name, "numeric") for name in ("a", "b", "c", "d")))
    table = pa.table(
        {
            "a": [1.0, None, float("nan")],
            "b": [float("inf"), float("-inf"), None],
            "c": [1.0, None, 2.0],
            "d": [True, None, False],
        }
    )
    assert not_finite(table, spec) == {"a": 1, "b": 2}
