"""What seed objectives declares, on its way into the examples and the evaluation; marts and seeds are made by hand."""

from dataclasses import replace
from datetime import date
from pathlib import Path

import duckdb
import pyarrow as pa
import pytest

from dags.steps.learn.examples import examples_of, objectives_of
from dags.steps.night import Night
from infra.settings import Settings
from ml.evaluation.breakdowns import by_objective
from ml.evaluation.comparison import Contender
from tests.compiled import create_views
from tests.dags.learn.test_evaluate import HELD_OUT

AS_OF = date(2000, 12, 15)
MARTS = """
create schema marts;
create schema seeds;
create table seeds.objectives as select * replace (cast(weight as double) as weight) from (values
    ('watch_time', 0.5, 'value'), ('purchase', 2.0, 'weight'), ('click', 0.0, 'weight'), ('like', 1.0, 'weight'),
    ('positive', 1.0, 'weight')
) as declared (objective, weight, example_weight);
create table marts.snapshots as select date '2000-12-07' as as_of, 'training' as role;
create table marts.training_examples as select date '2000-12-07' as as_of, * from (values
    ('P1', 'shop', 'a', 'A', 1, 0.75), ('P1', 'shop', 'b', 'B', 0, 1.0), ('P1', 'stream', 'a', 'A', 1, 1.0)
) as examples (person_id, platform, item_id, product_id, label, label_weight);
create table marts.person_sequences as select date '2000-12-07' as as_of, 'P1' as person_id, 'shop' as platform, 'C|D' as recent_products;
create table marts.objective_labels as select date '2000-12-07' as as_of, * from (values
    ('P1', 'shop', 'A', 'purchase', 0.75), ('P1', 'shop', 'B', 'click', 0.25), ('P1', 'stream', 'A', 'watch_time', 0.125),
    ('P2', 'shop', 'A', 'like', 1.0)
) as labels (person_id, platform, product_id, objective, weight);
"""


@pytest.fixture
def night(tmp_path: Path) -> Night:
    night = Night(AS_OF, settings=Settings(home=tmp_path))
    with duckdb.connect(str(night.settings.warehouse_path)) as warehouse:
        warehouse.execute(MARTS)
        create_views(warehouse, "objective_weights")
    return night


def declare(night: Night, sql: str) -> None:
    with duckdb.connect(str(night.settings.warehouse_path)) as warehouse:
        warehouse.execute(sql)


def test_examples_have_a_label_for_each_objective_that_weighs(night: Night) -> None:
    examples = examples_of(night).drop_columns(["as_of", "person_id", "product_id"])
    assert examples.to_pydict() == {
        "recent_products": ["C|D", "C|D", None],
        "platform": ["shop", "shop", "stream"],
        "item_id": ["a", "b", "a"],
        "label": [1, 0, 1],
        "label_weight": [0.75, 1.0, 1.0],
        "like_label": [0, 0, 0],
        "like_label_weight": [1.0, 1.0, 1.0],
        "purchase_label": [1, 0, 0],
        "purchase_label_weight": [0.75, 1.0, 1.0],
        "watch_time_label": [0, 0, 1],
        "watch_time_label_weight": [1.0, 1.0, 0.125],
    }
    declare(night, "update seeds.objectives set weight = 0 where objective != 'positive'")
    assert examples_of(night).column_names[-2:] == ["label", "label_weight"]


def test_an_objective_without_positives_is_left_out_and_logged(night: Night, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO"):
        assert objectives_of(night, examples_of(night)) == {"positive": 1.0, "purchase": 2.0, "watch_time": 0.5}
    assert "objective like weighs 1 in objectives.csv, but no training example of any platform" in caplog.text
    declare(night, "update seeds.objectives set weight = 0 where objective != 'positive'")
    caplog.clear()
    assert objectives_of(night, examples_of(night)) == {"positive": 1.0}
    assert not caplog.text


def test_lists_are_judged_by_what_each_objective_counts() -> None:
    """P1's list has the purchase first and the click second; nobody watched anything, so that has no row."""
    rows = [("purchase", "P1", "shop", "A"), ("click", "P1", "shop", "B"), ("click", "P1", "shop", "gone")]
    names = ["objective", "person_id", "platform", "product_id"]
    found = pa.table({name: [row[place] for row in rows] for place, name in enumerate(names)})
    catalogue = HELD_OUT.catalogue.set_column(5, "is_available", pa.array([True] * 3))
    held_out = replace(HELD_OUT, objectives=found, catalogue=catalogue)
    scored = pa.table(
        {"person_id": ["P1"] * 2, "platform": ["shop"] * 2, "item_id": ["1", "2"], "score": [0.9, 0.1], "label": [0, 0]}
    )
    measured = {
        (row["objective"], row["metric"]): (row["value"], row["people"])
        for row in by_objective([Contender("challenger", scored)], held_out, seed=1)
    }
    second_of_two = 0.6309297535714575 / (1 + 0.6309297535714575)
    assert measured == {
        ("purchase", "ndcg_at_10"): (1.0, 1),
        ("purchase", "recall_at_20"): (1.0, 1),
        ("click", "ndcg_at_10"): (pytest.approx(second_of_two), 1),
        ("click", "recall_at_20"): (0.5, 1),
    }
