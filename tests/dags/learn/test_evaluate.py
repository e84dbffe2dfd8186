"""When a night may use the comparison of an earlier night, and what its contenders are judged by."""

from dataclasses import replace
from datetime import date

import numpy as np
import pyarrow as pa
import pytest

from dags.steps.learn.comparison_table import comparison_table
from dags.steps.learn.evaluate import compared_before, evaluation_fingerprint
from dags.steps.night import Night
from dags.steps.records import Comparison, Evaluation
from infra.mlflow.records import ModelVersion
from infra.report.facts import DiversityPrice, Metric, ObjectiveMetric
from infra.settings import Settings
from ml.evaluation.breakdowns import price_of_diversity
from ml.evaluation.comparison import SCHEMA
from ml.evaluation.contenders import FACTORISATIONS, factorised
from ml.evaluation.held_out import HeldOut

HELD_OUT = HeldOut(
    as_of=date(2000, 12, 7),
    examples=pa.table({"person_id": ["P1"], "item_id": ["1"], "label": [1]}),
    relevant=pa.table({"person_id": ["P1"], "platform": ["shop"], "relevant": [1]}),
    labels=pa.table({"person_id": ["P1"], "platform": ["shop"], "product_id": ["A"], "label": [1]}),
    catalogue=pa.table(
        {
            "platform": ["shop", "shop", "stream"],
            "item_id": ["1", "2", "1"],
            "product_id": ["A", "B", "A"],
            "category": ["crime", "drama", None],
            "popularity": [0.75, 0.25, 1.0],
            "is_available": [True, False, True],
        }
    ),
    baselines=pa.table({"contender": ["popularity_7d"], "item_id": ["1"]}),
    interactions=pa.table({"person_id": ["P1"], "product_id": ["B"], "age_days": [1.0]}),
    consumed=pa.table({"person_id": ["P1"], "platform": ["shop"], "product_id": ["B"]}),
    objectives=pa.table({"objective": ["purchase"], "person_id": ["P1"], "platform": ["shop"], "product_id": ["A"]}),
    choices=pa.table({"person_id": ["P1"], "item_id": ["1"], "reward": [1.0]}),
)
SETTINGS = Settings(snapshot_every_days=7)
VERSIONS = {"challenger": ModelVersion("ranker", 1, "run")}
COMPARISON = pa.Table.from_pylist(
    [{"contender": "challenger", "platform": "all", "cohort": "all", "metric": "mrr", "value": 0.25, "people": 1}],
    SCHEMA,
)
OBJECTIVE = ObjectiveMetric(objective="purchase", contender="challenger", metric="mrr", value=0.5)
PRICE = DiversityPrice(
    strength=0.0, ndcg_at_10=0.1, ndcg_change=0, ndcg_low=0, ndcg_high=0, intra_list_diversity=0.5, is_used=True
)


@pytest.fixture
def night(tmp_path) -> Night:
    """Tonight, after a night that compared."""
    settings = SETTINGS.model_copy(update={"home": tmp_path})
    comparison = Comparison(
        compared_in=date(2000, 12, 14),
        popularity_window="popularity_7d",
        metrics=tuple(Metric(**row) for row in COMPARISON.to_pylist()),
        objectives=(OBJECTIVE,),
        diversity=(PRICE,),
    )
    fingerprint = evaluation_fingerprint(VERSIONS, HELD_OUT, SETTINGS)
    Night(date(2000, 12, 15), settings=settings).write(Evaluation(fingerprint=fingerprint, comparison=comparison))
    return Night(date(2000, 12, 16), settings=settings)


def test_the_same_versions_and_data_are_compared_once(night) -> None:
    found = compared_before(night, evaluation_fingerprint(VERSIONS, HELD_OUT, SETTINGS))
    assert found is not None
    assert (found.compared_in, found.popularity_window) == (date(2000, 12, 14), "popularity_7d")
    assert comparison_table(found).equals(COMPARISON)
    assert (found.objectives, found.diversity, found.off_policy) == ((OBJECTIVE,), (PRICE,), None)


@pytest.mark.parametrize(
    ("changed", "table"),
    [
        ("examples", {"person_id": ["P1"], "item_id": ["1"], "label": [0]}),
        ("relevant", {"person_id": ["P1"], "platform": ["shop"], "relevant": [2]}),
        ("labels", {"person_id": ["P1"], "platform": ["shop"], "product_id": ["B"], "label": [1]}),
        ("catalogue", {"platform": ["shop"], "item_id": ["3"]}),
        ("baselines", {"contender": ["popularity_7d"], "item_id": ["2"]}),
        ("interactions", {"person_id": ["P1"], "product_id": ["B"], "age_days": [2.0]}),
        ("consumed", {"person_id": ["P1"], "platform": ["shop"], "product_id": ["A"]}),
        ("objectives", {"person_id": ["P1"], "platform": ["shop"], "product_id": ["B"]}),
        ("choices", {"person_id": ["P1"], "item_id": ["1"], "reward": [0.0]}),
    ],
)
def test_other_data_is_compared_anew(night, changed, table) -> None:
    held_out = replace(HELD_OUT, **{changed: pa.table(table)})
    assert compared_before(night, evaluation_fingerprint(VERSIONS, held_out, SETTINGS)) is None


@pytest.mark.parametrize(
    "versions",
    [
        {"challenger": ModelVersion("another", 1, "run")},
        {"challenger": ModelVersion("ranker", 2, "run")},
        VERSIONS | {"champion": ModelVersion("ranker", 2, "run")},
    ],
)
def test_other_versions_are_compared_anew(night, versions) -> None:
    assert compared_before(night, evaluation_fingerprint(versions, HELD_OUT, SETTINGS)) is None


def test_without_choices_it_is_compared_anew(night) -> None:
    assert compared_before(night, evaluation_fingerprint(VERSIONS, replace(HELD_OUT, choices=None), SETTINGS)) is None


@pytest.mark.parametrize("changed", [{"seed": 1}, {"list_size": 10}, {"max_per_category": 3}, {"diversity": 0.2}])
def test_other_settings_are_compared_anew(night, changed) -> None:
    settings = SETTINGS.model_copy(update=changed)
    assert compared_before(night, evaluation_fingerprint(VERSIONS, HELD_OUT, settings)) is None


def test_only_nights_that_share_the_snapshot_are_asked(night) -> None:
    later = Night(date(2000, 12, 22), settings=night.settings)
    assert compared_before(later, evaluation_fingerprint(VERSIONS, HELD_OUT, SETTINGS)) is None


def test_a_platform_could_show_what_is_available() -> None:
    assert HELD_OUT.sizes == {"shop": 1, "stream": 1}


def test_items_are_described_by_the_catalogue_of_their_platform() -> None:
    scored = pa.table({"platform": ["stream", "shop", "shop"], "item_id": ["1", "2", "gone"], "score": [0.3, 0.2, 0.1]})
    assert HELD_OUT.described(scored).sort_by([("score", "descending")]).to_pydict() == {
        **scored.to_pydict(),
        "category": [None, "drama", None],
        "popularity": [1.0, 0.25, None],
    }


@pytest.mark.parametrize("method", [*FACTORISATIONS])
def test_a_factorisation_lists_what_is_available_and_scores_our_candidates(method) -> None:
    """P1 had B. The shop has no more of C, and nobody chose D."""
    held_out = replace(
        HELD_OUT,
        examples=pa.table(
            {
                "person_id": ["P1"] * 2,
                "platform": ["shop"] * 2,
                "item_id": ["1", "4"],
                "product_id": ["A", "D"],
                "label": [1, 0],
            }
        ),
        catalogue=pa.table(
            {
                "platform": ["shop"] * 5,
                "item_id": [*"12345"],
                "product_id": [*"ABCDE"],
                "category": ["crime"] * 5,
                "is_available": [True, True, False, True, True],
            }
        ),
        interactions=pa.table({"person_id": ["P1", *["P2"] * 4], "product_id": [*"BABCE"], "age_days": [1.0] * 5}),
    )
    contender = factorised(method, held_out, seed=1)
    rows = {row["item_id"]: row for row in contender.scored.to_pylist()}
    assert {item: row["label"] for item, row in rows.items()} == {"1": 1, "5": 0}
    assert {row["category"] for row in rows.values()} == {"crime"}
    assert contender.auc_rows is not None
    assert contender.auc_rows.column_names == ["person_id", "platform", "item_id", "label", "score"]
    assert contender.auc_rows["score"].to_pylist() == [rows["1"]["score"]] * 2


def test_diversity_is_priced_beside_lists_by_relevance_alone() -> None:
    """One list of four, whose second item was chosen. From a strength on, another category's best goes before it."""
    held_out = replace(
        HELD_OUT, catalogue=pa.table({"platform": ["shop"] * 4, "is_available": [True] * 4, "item_id": [*"1234"]})
    )
    scored = pa.table(
        {
            "person_id": ["P1"] * 4,
            "platform": ["shop"] * 4,
            "item_id": [*"1234"],
            "score": [1.0, 0.9, 0.75, 0.0],
            "label": [0, 1, 0, 0],
            "category": ["crime", "crime", "drama", "drama"],
        }
    )
    limits = {"list_size": 2, "max_per_category": Settings().max_per_category, "diversity": 0.25, "seed": 1}
    price = {row["strength"]: row for row in price_of_diversity(scored, held_out, **limits)}
    assert [*price] == [0.0, 0.05, 0.1, 0.2, 0.25, 0.3, 0.5]
    assert [strength for strength, row in price.items() if row["is_used"]] == [0.25]
    assert [row["intra_list_diversity"] for row in price.values()] == [0, 0, 0, 1, 1, 1, 1]
    found = 1 / np.log2(3)
    assert price[0.1]["ndcg_at_10"] == pytest.approx(found)
    assert price[0.25]["ndcg_at_10"] == 0
    assert [price[0.25][f"ndcg_{part}"] for part in ("change", "low", "high")] == pytest.approx([-found] * 3)
    assert [price[0.0][f"ndcg_{part}"] for part in ("change", "low", "high")] == [0, 0, 0]


def test_lists_of_one_item_have_no_diversity_to_pay_for() -> None:
    columns = {"person_id": ["P1"], "platform": ["shop"], "item_id": ["1"], "score": [1.0], "label": [1]}
    scored = pa.table(columns | {"category": ["crime"]})
    assert price_of_diversity(scored, HELD_OUT, list_size=20, max_per_category=4, diversity=0.0, seed=1) == []
