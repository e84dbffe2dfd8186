"""No feature reads the future: snapshots are built with the future, with some of it and without it, by the models and by leaking ones."""

import shutil
from datetime import date

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dags.steps.learn.examples import feature_spec
from infra import warehouse
from infra.counterfactuals.candidates import candidates_at
from infra.counterfactuals.comparison import candidates_of_one_alone, moved
from infra.settings import Settings
from infra.warehouse import DBT_PROJECT

NIGHT, AS_OF = date(2000, 12, 14), date(2000, 12, 10)


@pytest.fixture(scope="module")
def whole(backfilled) -> pa.Table:
    """The snapshot's candidates with all of the future."""
    return candidates_at(backfilled.settings, AS_OF, NIGHT, future="true")


def test_a_snapshot_is_built_again_as_the_night_built_it(whole, backfilled) -> None:
    names = ", ".join(whole.column_names)
    joined = "marts.candidates left join marts.person_sequences using (as_of, person_id, platform)"
    stored = backfilled.rows(f"select {names} from {joined} where as_of = date '{AS_OF}'")
    assert stored
    assert sorted(tuple(row.values()) for row in whole.to_pylist()) == sorted(stored)


@settings(max_examples=3, deadline=None, derandomize=True)
@given(seed=st.integers(min_value=0), of_ten=st.integers(0, 9))
def test_whatever_of_the_future_is_deleted_moves_no_feature(seed: int, of_ten: int, whole, backfilled) -> None:
    some = candidates_at(backfilled.settings, AS_OF, NIGHT, future=f"hash(event_id || '{seed}') % 10 < {of_ten}")
    assert candidates_of_one_alone(whole, some) == 0
    assert not any(moved(whole, some, feature_spec().columns).values())


KNOWN_THEN = "{{ known_by('interactions', 'snapshots') }}"
KNOWN_OF_PERSONS = KNOWN_THEN.replace("snapshots", "persons")
# each planted in a model of its own: the feature that it moves, what is honest and what leaks
LEAKS = {
    "an event that arrives late": (
        "segment_events_28d",
        ("segment_popularity", KNOWN_THEN, "interactions.occurred_at < snapshots.as_of"),
    ),
    "an event that is corrected later": (
        "person_events",
        ("person_profiles", KNOWN_THEN, KNOWN_THEN + " and interactions.superseded_at is null"),
    ),
    "days counted up to tonight": (
        "days_on_offer",
        ("item_popularity", "created_at, snapshots.as_of) /", "created_at, {{ as_of() }}) /"),
    ),
    "a taste of tomorrow": (
        "platform_category_share",
        ("person_tastes", KNOWN_OF_PERSONS, "interactions.occurred_at < persons.as_of + interval 3 day"),
    ),
    "an interaction of tomorrow": (
        "recent_products",
        ("person_sequences", KNOWN_OF_PERSONS, "interactions.occurred_at < persons.as_of + interval 3 day"),
    ),
    "a price paid later": (
        "platform_price_gap",
        ("person_prices", KNOWN_OF_PERSONS, "interactions.occurred_at < persons.as_of + interval 3 day"),
    ),
    "the hour of an event that arrives late": (
        "hour_lift",
        ("product_contexts", KNOWN_THEN, "interactions.occurred_at < snapshots.as_of"),
    ),
    "interactions of the horizon": (
        "release_year",
        (
            "candidates",
            "cast(items.release_year as double)",
            "(select count(*) from {{ ref('snapshot_labels') }} as labels where labels.product_id = fused.product_id)",
        ),
    ),
}


@pytest.fixture(scope="module")
def leaked(backfilled, tmp_path_factory: pytest.TempPathFactory) -> dict[str, int]:
    """In how many candidates each feature moves, by models with all `LEAKS`."""
    home = tmp_path_factory.mktemp("leaking")
    project = home / "dbt_project"
    shutil.copytree(DBT_PROJECT, project)
    for model, honest, planted in (plant for _, plant in LEAKS.values()):
        [file] = (project / "models" / "marts").rglob(f"{model}.sql")
        sql = file.read_text()
        assert honest in sql, f"{model} says it in other words now: plant the leak there anew"
        file.write_text(sql.replace(honest, planted))
    of = backfilled.settings
    there = {"home": home, "warehouse": of.warehouse_path, "lake": of.lake_uri}
    leaking = Settings(**of.model_dump() | there)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(warehouse, "DBT_PROJECT", project)
        with_future = candidates_at(leaking, AS_OF, NIGHT, future="true")
        without = candidates_at(leaking, AS_OF, AS_OF, future="false")
    return moved(with_future, without, feature_spec().columns)


@pytest.mark.parametrize("leak", LEAKS)
def test_a_feature_that_reads_the_future_moves(leak: str, leaked: dict[str, int]) -> None:
    feature, _ = LEAKS[leak]
    assert leaked[feature] > 0


def test_beside_leaks_an_honest_feature_stays(leaked: dict[str, int]) -> None:
    assert leaked["item_events_all"] == leaked["category_share"] == 0


def test_candidates_are_compared_by_their_keys_and_numbers_but_for_their_last_digits() -> None:
    def candidates(items: str, price: list[float | None], category: list[str | None]) -> pa.Table:
        return pa.table(
            {"person_id": ["p"] * 4, "platform": ["shop"] * 4, "item_id": [*items]}
            | {"price": pa.array(price, pa.float64()), "category": pa.array(category, pa.string())}
        )

    before = candidates("abcd", [1.0, 2.0, None, 4.0], ["x", "y", None, "z"])
    after = candidates("ecba", [9.0, None, 2.5, 1.0 + 1e-12], ["x", "y", "y", "x"])
    assert moved(before, after, ["price", "category"]) == {"price": 1, "category": 1}
    assert candidates_of_one_alone(before, after) == 2
