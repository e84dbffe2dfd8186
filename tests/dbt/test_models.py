"""The rules of the dbt models: their unit tests, and what only whole runs can show."""

from datetime import date

import pytest

from infra.settings import Settings
from infra.warehouse import query, run_dbt


def test_every_rule_of_the_models(empty_warehouse) -> None:
    """The unit tests beside the models; a failure shows which rows a model gave instead of those expected."""
    run_dbt(empty_warehouse.settings, ["test", "--select", "test_type:unit"], empty_warehouse.as_of)


NIGHTS = [date(2000, 12, day) for day in range(7, 15)]
INCREMENTAL = [
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
    "person_tastes",
    "person_prices",
    "person_contexts",
    "product_contexts",
    "product_neighbours",
    "product_transitions",
    "item_similarity",
    "tower_vectors",
    "offers",
    "retrieved_products",
    "candidate_scores",
    "person_sequences",
]
SHARED = "as_of in (select as_of from marts.snapshots)"


@pytest.mark.parametrize(
    "query",
    [
        *(f"from staging.stg_{platform}__events" for platform in ("forum", "shop", "stream")),
        *(f"from intermediate.int_{name}" for name in ("account_aliases", "accounts", "items", "events")),
        *(f"from intermediate.int_quality__{name}" for name in ("row_counts", "row_fates")),
        "from staging.stg_shop__orders_fates",
        "from marts.core_counts",
        *(f"from marts.{mart} where {SHARED}" for mart in INCREMENTAL),
        *(
            f"from marts.{mart}"
            for mart in (
                "baseline_lists",
                "objective_labels",
                "popular_lists",
                "evaluation_items",
                "evaluation_relevant",
                "evaluation_consumed",
                "person_products",
            )
        ),
    ],
)
def test_nights_one_by_one_and_one_backfill_give_the_same_tables(query, nightly, backfilled) -> None:
    expected = backfilled.rows(query)

    assert expected
    assert nightly.warehouse.rows(query) == expected


def test_nothing_at_or_after_a_snapshot_changes_a_feature_of_it(nightly, backfilled) -> None:
    """A night has nothing of later loads; what it scored must be what its snapshot teaches once the future is known."""
    for as_of in (date(2000, 12, 7), date(2000, 12, 10)):
        taught = backfilled.rows(f"from marts.candidates where as_of = date '{as_of}'")
        assert taught
        assert not {*taught} - {*nightly.candidates[as_of]}


def test_a_night_again_changes_no_row_and_an_old_one_none_of_a_newer(nightly, copy_of) -> None:
    warehouse = copy_of(nightly.warehouse)
    before, newest = warehouse.content(), f"as_of = date '{NIGHTS[-1]}'"

    warehouse.run(NIGHTS[-2])
    for mart in INCREMENTAL:
        assert warehouse.rows(f"from marts.{mart} where {newest}") == [
            row for row in before["marts", mart] if row[0] == NIGHTS[-1]
        ], mart

    warehouse.run(NIGHTS[-1])
    after = warehouse.content()
    assert [*after] == [*before]
    assert not [name for name in after if after[name] != before[name]]


@pytest.mark.parametrize(
    ("mart", "snapshots"),
    [
        # the labelled ones, the night's own, and 13 December, whose horizon is open and which will be labelled
        ("person_history", [(2000, 12, 4), (2000, 12, 7), (2000, 12, 10), (2000, 12, 13), (2000, 12, 14)]),
        # candidates of a labelled snapshot are built when it gets its labels, so none are kept for 13 December
        ("candidates", [(2000, 12, 4), (2000, 12, 7), (2000, 12, 10), (2000, 12, 14)]),
        ("training_examples", [(2000, 12, 4), (2000, 12, 7), (2000, 12, 10)]),
    ],
)
def test_snapshots_that_no_later_night_needs_are_dropped(mart, snapshots, nightly) -> None:
    assert nightly.warehouse.rows(f"select distinct as_of from marts.{mart}") == [
        (date(*as_of),) for as_of in snapshots
    ]


def test_a_process_builds_warehouses_of_several_names(empty_warehouse, tmp_path) -> None:
    """The name of the file is that of the database, which stands in every relation of the parsed project."""
    run_dbt(empty_warehouse.settings, ["seed", "--select", "generators"], empty_warehouse.as_of)
    other = Settings(home=tmp_path, lake=empty_warehouse.settings.lake_uri, warehouse=tmp_path / "other.duckdb")
    run_dbt(other, ["seed", "--select", "generators"], empty_warehouse.as_of)
    assert query(other, "from seeds.generators").num_rows > 5
