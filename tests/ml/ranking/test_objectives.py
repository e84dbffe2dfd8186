from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pyarrow as pa
import pytest
import tensorflow as tf

from ml.ranking.network.features import Feature, FeatureSpec
from ml.ranking.network.objectives import POSITIVE_ALONE, check_weights
from ml.ranking.network.scoring import score
from ml.ranking.network.wide_deep import WideDeep, build_model, network_of
from ml.ranking.training import TrainingParams, train

SPEC = FeatureSpec((Feature("genre", "categorical"), Feature("noise", "numeric")))
PARAMS = TrainingParams(epochs=3, batch_size=500, hidden=(8,), embedding_dim=4, wide_l1=0.0, seed=5)
SHOP, STREAM = 600, 5_400


@pytest.fixture(scope="module")
def examples() -> pa.Table:
    """Crime is positive in 8 of 10 cases and drama in 2. Purchases on the shop are the other way round. The stream has no
    purchases."""
    random = np.random.default_rng(0)
    rows = SHOP + STREAM
    crime, shop = random.random(rows) < 0.5, np.arange(rows) < SHOP
    return pa.table(
        {
            "platform": np.where(shop, "shop", "stream"),
            "genre": np.where(crime, "crime", "drama"),
            "noise": random.normal(size=rows),
            "label": (random.random(rows) < np.where(crime, 0.8, 0.2)).astype(int),
            "purchase_label": (shop & (random.random(rows) < np.where(crime, 0.2, 0.8))).astype(int),
        }
    )


def of_genre(platform: str) -> pa.Table:
    return pa.table({"platform": [platform] * 2, "genre": ["crime", "drama"], "noise": [0.0] * 2})


def test_lists_follow_the_declared_weights(examples: pa.Table) -> None:
    """On the shop; elsewhere, where nothing is ever purchased, `positive` alone ranks, whatever a purchase weighs."""
    for purchase, best in ((0.25, "crime"), (4.0, "drama")):
        model = train(examples, None, SPEC, replace(PARAMS, objectives={"positive": 1.0, "purchase": purchase})).model
        crime, drama = score(model, SPEC, of_genre("shop"))
        assert ("crime" if crime > drama else "drama") == best
        for platform in ("stream", "never heard of"):
            assert np.array_equal(
                score(model, SPEC, of_genre(platform)), score(model, SPEC, of_genre(platform), "positive")
            )
        positive, bought = (score(model, SPEC, of_genre("shop"), name) for name in ("positive", "purchase"))
        assert score(model, SPEC, of_genre("shop")) == pytest.approx((positive + purchase * bought) / (1 + purchase))


def test_a_platform_without_an_objective_does_not_teach_it(examples: pa.Table) -> None:
    """Nine in ten examples are of the stream: as negatives they would make half of the shop's purchases a twentieth."""
    model = train(examples, None, SPEC, replace(PARAMS, objectives={"positive": 1.0, "purchase": 1.0})).model
    assert network_of(model).objectives[1].platforms == ("shop",)
    probability = score(model, SPEC, examples.slice(0, SHOP), "purchase")
    assert probability.mean() == pytest.approx(0.5, abs=0.1)


def test_what_was_watched_longer_counts_for_more(examples: pa.Table) -> None:
    """Odds of a weighted positive are the share watched by whom it is offered (Covington et al. 2016, section 4.2)."""
    seen = examples["label"].to_numpy() == 1
    watched = examples.append_column("watch_time_label", examples["label"]).append_column(
        "watch_time_label_weight", pa.array(np.where(seen, 0.1, 1.0))
    )
    params = replace(PARAMS, epochs=10, batch_size=100, objectives={"positive": 1.0, "watch_time": 1.0})
    model = train(watched, None, SPEC, params).model
    crime, drama = score(model, SPEC, of_genre("stream"), "watch_time")
    assert crime / (1 - crime) == pytest.approx(0.1 * 0.8 / 0.2, rel=0.3)
    assert drama / (1 - drama) == pytest.approx(0.1 * 0.2 / 0.8, rel=0.3)


def test_positive_alone_learns_the_same_whatever_it_weighs(examples: pa.Table) -> None:
    """And whatever else is declared with no weight; nothing but features is an input then."""
    alone = train(examples, None, SPEC, PARAMS).model
    other = train(examples, None, SPEC, replace(PARAMS, objectives={"positive": 5.0, "purchase": 0.0})).model
    assert np.array_equal(score(other, SPEC, examples), score(alone, SPEC, examples))
    assert np.array_equal(score(alone, SPEC, examples, "positive"), score(alone, SPEC, examples))
    assert [column.name for column in alone.inputs] == ["genre", "noise"]


def test_a_saved_model_of_several_objectives_scores_raw_columns(examples: pa.Table, tmp_path: Path) -> None:
    model = train(examples, None, SPEC, replace(PARAMS, objectives={"positive": 1.0, "purchase": 0.5})).model
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras", custom_objects={"WideDeep": WideDeep})
    rows = pa.concat_tables([examples.slice(SHOP - 50, 100).select(["platform", "genre", "noise"]), of_genre("new")])
    raw = {name: tf.constant(rows[name].to_pylist()) for name in ("platform", "genre")}
    raw["noise"] = tf.constant(rows["noise"].to_pylist(), tf.float32)
    assert np.array_equal(score(loaded, SPEC, rows), score(model, SPEC, rows))
    assert np.allclose(loaded.predict(raw, verbose=0), score(model, SPEC, rows), atol=1e-6)


def test_a_list_without_its_platform_has_no_score() -> None:
    model = build_model(SPEC, (4,), 2, 1, 0, np.empty(0, np.int64), POSITIVE_ALONE * 2)
    with pytest.raises(ValueError, match="candidates lack column 'platform'"):
        score(model, SPEC, of_genre("shop").drop_columns(["platform"]))
    with pytest.raises(ValueError, match=r"did not learn objective 'click'. It learned: \['positive', 'positive'\]"):
        score(model, SPEC, of_genre("shop"), "click")


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ({"positive": 1.0, "purchase": -0.5}, r"at least 0. Received: \{'purchase': -0.5\}"),
        ({"positive": float("nan")}, r"at least 0. Received: \{'positive': nan\}"),
        ({"positive": 0.0, "purchase": 0.0}, "'positive' must weigh more than 0"),
        ({"purchase": 1.0}, "'positive' must weigh more than 0"),
    ],
)
def test_weights_that_rank_nothing_are_refused(weights: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        check_weights(weights)


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({}, "objective 'click' has no column 'click_label'"),
        ({"click_label": 0}, "objective 'click': none of 6,000 rows is positive"),
        ({"click_label": 2}, "objective 'click': click_label must be 0 or 1, never null .6,000 of 6,000"),
        ({"click_label": 1, "click_label_weight": -1.0}, "objective 'click': all 6,000 rows are positive"),
    ],
)
def test_an_objective_that_nothing_teaches_is_refused(
    examples: pa.Table, columns: dict[str, float], message: str
) -> None:
    for name, value in columns.items():
        examples = examples.append_column(name, pa.repeat(value, examples.num_rows))
    with pytest.raises(ValueError, match=message):
        train(examples, None, SPEC, replace(PARAMS, objectives={"positive": 1.0, "click": 1.0}))
