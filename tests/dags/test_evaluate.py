"""When a night may take over the comparison of a night before."""

from dataclasses import replace
from datetime import date

import pyarrow as pa
import pytest

from dags.steps.evaluate import HeldOut, compared_before, fingerprint_of
from dags.steps.night import Night
from infra.registry import ModelVersion
from infra.settings import Settings
from ml.evaluation.comparison import SCHEMA

HELD_OUT = HeldOut(
    examples=pa.table({"person_id": ["P1"], "item_id": ["1"], "label": [1]}),
    relevant=pa.table({"person_id": ["P1"], "platform": ["shop"], "relevant": [1]}),
    catalogue=pa.table(
        {
            "platform": ["shop", "shop", "stream"],
            "item_id": ["1", "2", "1"],
            "category": ["crime", "drama", None],
            "popularity": [0.75, 0.25, 1.0],
            "is_available": [True, False, True],
        }
    ),
    baselines=pa.table({"contender": ["popularity_7d"], "item_id": ["1"]}),
)
VERSIONS = {"challenger": ModelVersion("ranker", 1, "run")}
COMPARISON = pa.Table.from_pylist(
    [{"contender": "challenger", "platform": "all", "cohort": "all", "metric": "mrr", "value": 0.25, "people": 1}],
    SCHEMA,
)


@pytest.fixture
def night(tmp_path) -> Night:
    """Tonight, after a night that compared."""
    settings = Settings(home=tmp_path, snapshot_every_days=7)
    Night(date(2000, 12, 15), settings=settings).record(
        "evaluation",
        {
            "comparison": COMPARISON.to_pylist(),
            "popularity_window": "popularity_7d",
            "fingerprint": fingerprint_of(VERSIONS, HELD_OUT, 0),
            "compared_in": "2000-12-14",
        },
    )
    return Night(date(2000, 12, 16), settings=settings)


def test_the_same_versions_and_data_are_compared_once(night) -> None:
    found = compared_before(night, fingerprint_of(VERSIONS, HELD_OUT, 0))
    assert found is not None
    assert (found.as_of, found.popularity) == (date(2000, 12, 14), "popularity_7d")
    assert found.comparison.equals(COMPARISON)


@pytest.mark.parametrize(
    ("changed", "table"),
    [
        ("examples", {"person_id": ["P1"], "item_id": ["1"], "label": [0]}),
        ("relevant", {"person_id": ["P1"], "platform": ["shop"], "relevant": [2]}),
        ("catalogue", {"platform": ["shop"], "item_id": ["3"]}),
        ("baselines", {"contender": ["popularity_7d"], "item_id": ["2"]}),
    ],
)
def test_other_data_is_compared_anew(night, changed, table) -> None:
    held_out = replace(HELD_OUT, **{changed: pa.table(table)})
    assert compared_before(night, fingerprint_of(VERSIONS, held_out, 0)) is None


@pytest.mark.parametrize(
    "versions",
    [
        {"challenger": ModelVersion("ranker", 2, "run")},
        VERSIONS | {"champion": ModelVersion("ranker", 2, "run")},
    ],
)
def test_other_versions_are_compared_anew(night, versions) -> None:
    assert compared_before(night, fingerprint_of(versions, HELD_OUT, 0)) is None


def test_another_seed_is_compared_anew(night) -> None:
    assert compared_before(night, fingerprint_of(VERSIONS, HELD_OUT, 1)) is None


def test_only_nights_that_share_the_snapshot_are_asked(night) -> None:
    later = Night(date(2000, 12, 22), settings=night.settings)
    assert compared_before(later, fingerprint_of(VERSIONS, HELD_OUT, 0)) is None


def test_a_platform_could_show_what_is_available() -> None:
    assert HELD_OUT.sizes == {"shop": 1, "stream": 1}


def test_items_are_described_by_the_catalogue_of_their_platform() -> None:
    scored = pa.table({"platform": ["stream", "shop", "shop"], "item_id": ["1", "2", "gone"], "score": [0.3, 0.2, 0.1]})
    assert HELD_OUT.described(scored).sort_by([("score", "descending")]).to_pydict() == {
        **scored.to_pydict(),
        "category": [None, "drama", None],
        "popularity": [1.0, 0.25, None],
    }
