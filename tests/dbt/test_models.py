"""The rules of the dbt models: their unit tests, and what only whole runs can show."""

from datetime import date, timedelta

import pytest

from infra.warehouse import run_dbt

pytestmark = pytest.mark.dbt


def test_every_rule_of_the_models(empty_warehouse) -> None:
    """The unit tests beside the models; a failure shows which rows a model gave instead of those expected."""
    run_dbt(empty_warehouse.settings, ["test", "--select", "test_type:unit"], empty_warehouse.variables)


MARTS = [
    "training_examples",
    "candidates",
    "candidate_sources",
    "candidate_pairs",
    "snapshot_labels",
    "item_popularity",
    "segment_popularity",
    "person_history",
    "person_profiles",
    "person_platforms",
    "person_categories",
    "product_neighbours",
    "product_transitions",
]
SHARED = "as_of in (select as_of from marts.snapshots)"


@pytest.mark.parametrize("mart", [*MARTS, "baseline_lists", "popular_lists", "evaluation_relevant"])
def test_nights_one_by_one_and_one_backfill_give_the_same_tables(mart, nightly, backfilled) -> None:
    shared = f"where {SHARED}" if mart in MARTS else ""
    expected = backfilled.rows(f"from marts.{mart} {shared}")

    assert expected
    assert nightly.warehouse.rows(f"from marts.{mart} {shared}") == expected


def test_nothing_at_or_after_a_cut_changes_a_feature_of_it(nightly, backfilled) -> None:
    """A night has nothing of later loads; what it scored must be what its cut teaches once the future is known."""
    labelled = [row[0] for row in backfilled.rows("select as_of from marts.snapshots where role != 'scoring'")]
    cuts = [cut for cut in labelled if cut in nightly.candidates]
    assert len(cuts) == 2

    for cut in cuts:
        taught = backfilled.rows(f"from marts.candidates where as_of = date '{cut}'")
        assert taught
        assert not {*taught} - {*nightly.candidates[cut]}
