"""Generated platforms: the same bytes for the same seed, and what must be true of people, catalogues and days."""

import hashlib
from datetime import date
from pathlib import Path

import duckdb
import pytest

from infra.platforms import load_platforms
from infra.simulate import World, simulate
from infra.simulate.world import TOPICS

WORLD = World(persons=2_000, events=60_000, platforms=3, items=600, days=28, seed=3, ends=date(2001, 3, 1))


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("world")
    assert sum(rows for _, rows in simulate(folder, WORLD)) == pytest.approx(WORLD.events, rel=0.02)
    return folder


def digests(folder: Path) -> dict[str, str]:
    files = [path for path in folder.rglob("*.parquet") if path.is_file()]
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def rows(folder: Path, sql: str) -> list[tuple[object, ...]]:
    """``sql`` over tables accounts, items and events of all platforms, and the truth_accounts and truth_items about them."""
    with duckdb.connect() as connection:
        for table in ("accounts", "items", "events"):
            files = f"{folder}/*/{table}/*.parquet"
            connection.execute(
                f"create view {table} as select split_part(filename, '/', -3) as platform, * from read_parquet('{files}', filename = true)"
            )
        for table in ("accounts", "items"):
            connection.execute(f"create view truth_{table} as from '{folder}/truth/{table}.parquet'")
        return connection.execute(sql).fetchall()


def test_the_same_seed_gives_the_same_bytes_and_another_one_others(built: Path, tmp_path: Path) -> None:
    again, other = tmp_path / "again", tmp_path / "other"
    list(simulate(again, WORLD))
    list(simulate(other, World(**{**WORLD.__dict__, "seed": 4})))
    assert digests(again) == digests(built)
    assert not {*digests(other).items()} & {*digests(built).items()}


def test_events_are_of_accounts_and_items_that_are_there(built: Path) -> None:
    [(unknown,)] = rows(
        built,
        "select count(*) from events left join accounts using (platform, account_id) left join items using (platform, item_id)"
        " where coalesce(opened_at::date > happened_at::date, true) or coalesce(listed_at > happened_at, true)",
    )
    assert unknown == 0


def test_every_day_has_its_file_and_its_events_by_weekday(built: Path) -> None:
    found = rows(
        built, "select isodow(happened_at), count(*) from events where platform = 'market' group by all order by all"
    )
    amounts = dict(found)
    assert max(amounts, key=lambda weekday: amounts[weekday]) in (6, 7)
    assert len([*(built / "market" / "events").iterdir()]) == WORLD.days
    [(first, last)] = rows(built, "select min(happened_at)::date, max(happened_at)::date from events")
    assert (first, last) == (date(2001, 2, 1), date(2001, 2, 28))


def test_tastes_go_with_a_person_to_every_platform(built: Path) -> None:
    """The topic that a person has most of on one platform is the same on another far more often than by chance."""
    [(same, persons)] = rows(
        built,
        "with tastes as (select person, platform, mode(category) as topic from events join truth_accounts using (platform, account_id)"
        " join items using (platform, item_id) group by all having count(*) >= 10)"
        " select avg((one.topic = other.topic)::int), count(*) from tastes as one join tastes as other using (person)"
        " where one.platform < other.platform",
    )
    assert isinstance(same, float)
    assert isinstance(persons, int)
    assert persons > 100
    assert same > 8 / TOPICS


def test_what_people_write_is_nearly_the_same_everywhere(built: Path) -> None:
    [(pairs, same_name, same_email, same_birth)] = rows(
        built,
        "with profiles as (from accounts join truth_accounts using (platform, account_id))"
        " select count(*), avg((one.surname = other.surname)::int), avg((one.email = other.email)::int),"
        " avg((one.birth_date = other.birth_date)::int)"
        " from profiles as one join profiles as other using (person) where one.platform < other.platform",
    )
    assert isinstance(pairs, int)
    assert pairs > 500
    assert 0.8 < same_name < 0.95, "typing errors"
    assert 0.4 < same_email < 0.6
    assert same_birth == 1


def test_products_are_on_several_platforms_under_one_title(built: Path) -> None:
    [(products, titles, most)] = rows(
        built,
        "with offers as (from items join truth_items using (platform, item_id)),"
        " by_product as (select product, count(*) as platforms, count(distinct title) as titles from offers group by all)"
        " select count(*), max(titles), max(platforms) from by_product",
    )
    assert (products, titles, most) == (600, 1, 3)


def test_new_accounts_and_items_come_every_week(built: Path) -> None:
    for table, column in (("accounts", "opened_at"), ("items", "listed_at")):
        found = rows(built, f"select count(distinct week({column})) from {table} where {column} >= '2001-02-01'")
        assert found[0][0] in (4, 5)


def test_the_declaration_is_of_these_platforms_and_of_no_other(built: Path) -> None:
    platforms = load_platforms(built / "dbt_project" / "models" / "staging")
    assert [platform.name for platform in platforms] == sorted(WORLD.names)
    assert all(f"CROSSREC_{name.upper()}_URL" in (built / "environment.sh").read_text() for name in WORLD.names)


def test_a_folder_with_something_in_it_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("x")
    with pytest.raises(FileExistsError, match="is not empty"):
        next(simulate(tmp_path, WORLD))
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


@pytest.mark.parametrize("wrong", [{"persons": 3}, {"platforms": 9}, {"items": 2}, {"days": 0}])
def test_a_world_that_is_too_small_or_has_too_many_platforms_is_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="a generated world has at"):
        World(**wrong)
