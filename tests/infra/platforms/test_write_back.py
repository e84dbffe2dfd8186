"""A publication in the platform's own warehouse: whole, once, and back again."""

import json
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from infra.lake import open_lake
from infra.platforms import PlatformError, write_back
from infra.settings import Settings

TABLES = "- {name: orders, meta: {key: [order_no], path: orders.jsonl}, columns: [{name: order_no}]}"
TARGET = "{table: crossrec_recommendations, folder: recommendations}"


def publication(night: int, accounts: int = 3, **changes: list[Any]) -> pa.Table:
    """Two items for each account; scores that only a DOUBLE keeps."""
    places = [(f"C{account:06}", rank) for account in range(accounts) for rank in (2, 1)]
    columns: dict[str, Any] = {
        "account_id": [account for account, _ in places],
        "rank": pa.array([rank for _, rank in places], pa.int64()),
        "item_id": [f"it'em \u00e9 {night} {rank}" for _, rank in places],
        "score": [1 / 3 / rank for _, rank in places],
        "strategy": ["personalised"] * len(places),
        "reason": pa.array([None] * len(places), pa.string()),
        "as_of": [date(2000, 12, night)] * len(places),
        "model_version": ["7"] * len(places),
        "publication_id": [f"p{night}"] * len(places),
        "recommendation_id": [f"p{night}:{account}:{rank}" for account, rank in places],
        "person_id": ["of nobody's business"] * len(places),
    }
    return pa.table(columns | changes)


def lists_in(database) -> list[Any]:
    rank = "`rank`" if database.technology == "mysql" else "rank"
    select = f"select account_id, {rank}, item_id, score, publication_id from crossrec_recommendations"
    return [tuple(row) for row in database.execute(f"{select} order by 1, 2")]


def expected(table: pa.Table) -> list[Any]:
    names = ["account_id", "rank", "item_id", "score", "publication_id"]
    return sorted(tuple(row[name] for name in names) for row in table.to_pylist())


def test_a_publication_replaces_the_one_before_and_can_be_taken_back(database, declare, settings) -> None:
    database.execute("create table orders (order_no varchar(9))")
    platform = declare(database.url, TABLES.replace(", path: orders.jsonl", ""), write_back=TARGET)
    first, second = publication(14), publication(15, accounts=4)
    assert write_back(platform, first, settings) == 6
    assert lists_in(database) == expected(first)
    assert write_back(platform, first, settings) == 0
    assert write_back(platform, second, settings) == 6 + 8
    assert lists_in(database) == expected(second)
    assert write_back(platform, first, settings) == 14  # rollback
    assert lists_in(database) == expected(first)


def test_a_change_in_one_row_changes_two(database, declare, settings) -> None:
    database.execute("create table orders (order_no varchar(9))")
    platform = declare(database.url, TABLES.replace(", path: orders.jsonl", ""), write_back=TARGET)
    write_back(platform, publication(14), settings)
    items = publication(14)["item_id"].to_pylist()
    assert write_back(platform, publication(14, item_id=["another", *items[1:]]), settings) == 2


def test_a_killed_run_is_healed_and_the_owners_view_still_works(database, declare, settings) -> None:
    database.execute("create table crossrec_recommendations__staging (leftover int)")
    platform = declare(database.url, TABLES.replace(", path: orders.jsonl", ""), write_back=TARGET)
    write_back(platform, publication(14), settings)
    database.execute("create view best as select * from crossrec_recommendations where score > 0.3")
    write_back(platform, publication(15), settings)
    assert database.execute("select count(*) from best") == [(3,)]
    with pytest.raises(Exception, match=r"(?i)no such table|not exist|doesn't exist"):
        database.execute("select * from crossrec_recommendations__staging")


def test_a_swap_that_fails_leaves_the_lists_of_before(sqlite_database, declare, settings) -> None:
    sqlite_database.execute("create table orders (order_no text)")
    platform = declare(sqlite_database.url, TABLES.replace(", path: orders.jsonl", ""), write_back=TARGET)
    write_back(platform, publication(14), settings)
    sqlite_database.execute(
        "create trigger meddle before insert on crossrec_recommendations"
        " begin select raise(abort, 'ada@secret.example'); end"
    )
    with pytest.raises(PlatformError, match="platform 'shop', table 'crossrec_recommendations'") as raised:
        write_back(platform, publication(15), settings)
    assert "secret" not in str(raised.value)
    assert lists_in(sqlite_database) == expected(publication(14))


def test_a_table_from_before_slot_and_propensity_gets_the_columns(database, declare, settings) -> None:
    database.execute("create table orders (order_no varchar(9))")
    platform = declare(database.url, TABLES.replace(", path: orders.jsonl", ""), write_back=TARGET)
    write_back(platform, publication(13), settings)
    for column in ("slot", "propensity"):
        database.execute(f"alter table crossrec_recommendations drop column {column}")
    logged = publication(14, slot=["explored", "ranked"] * 3, propensity=[0.05, 1.0] * 3)
    assert write_back(platform, logged, settings) == 12
    assert write_back(platform, logged, settings) == 0
    assert lists_in(database) == expected(logged)
    rank = "`rank`" if database.technology == "mysql" else "rank"
    drawn = database.execute(f"select slot, propensity from crossrec_recommendations where {rank} = 2")
    assert [tuple(row) for row in drawn] == [("explored", 0.05)] * 3
    assert write_back(platform, publication(13), settings) == 12  # rollback to lists that have neither


def test_a_foreign_table_under_the_name_is_left_alone(database, declare, settings) -> None:
    database.execute("create table crossrec_recommendations (note varchar(9))")
    platform = declare(database.url, TABLES.replace(", path: orders.jsonl", ""), write_back=TARGET)
    with pytest.raises(
        PlatformError, match=r"the table for the lists lacks 'account_id', .* Received: the columns note."
    ):
        write_back(platform, publication(14), settings)


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        (publication(14).slice(0, 0), "Received: 0 rows"),
        (pa.concat_tables([publication(14), publication(14)]), "Received: 12 rows for 6 accounts and ranks"),
        (pa.concat_tables([publication(14), publication(15).slice(0, 1)]), "2 nights"),
        (publication(14).drop_columns(["score"]), "Missing: score"),
    ],
)
def test_a_broken_publication_changes_nothing(broken, message, duckdb_database, declare, settings) -> None:
    duckdb_database.execute("create table orders (order_no text)")
    platform = declare(duckdb_database.url, TABLES.replace(", path: orders.jsonl", ""), write_back=TARGET)
    write_back(platform, publication(13), settings)
    with pytest.raises(ValueError, match=message):
        write_back(platform, broken, settings)
    assert lists_in(duckdb_database) == expected(publication(13))


def test_a_missing_warehouse_and_a_missing_wish_are_named(duckdb_database, declare, settings) -> None:
    platform = declare(duckdb_database.url, TABLES.replace(", path: orders.jsonl", ""), write_back=TARGET)
    with pytest.raises(PlatformError, match="the database file is missing"):
        write_back(platform, publication(14), settings)
    with pytest.raises(PlatformError, match="asks for no lists"):
        write_back(declare(duckdb_database.url, TABLES), publication(14), settings)


@pytest.mark.parametrize("place", ["folder", "s3"])
def test_files_are_dated_and_one_is_current(place, request, tmp_path: Path, declare) -> None:
    settings: Settings = request.getfixturevalue("settings" if place == "folder" else "s3_settings")
    (tmp_path / "forum").mkdir()
    url = f"file:///{tmp_path}/forum" if place == "folder" else settings.lake.replace("some/prefix", "forum")
    platform = declare(url, TABLES, write_back=TARGET)
    files = open_lake(settings, f"{tmp_path}/forum" if place == "folder" else url)
    first, second = publication(14), publication(15, accounts=4)

    assert write_back(platform, first, settings) == 6
    assert write_back(platform, first, settings) == 0
    assert write_back(platform, second, settings) == 14
    assert [*files.list("recommendations/")] == [
        "recommendations/current.jsonl",
        "recommendations/recommendations-2000-12-14.jsonl",
        "recommendations/recommendations-2000-12-15.jsonl",
    ]
    current, _ = files.read("recommendations/current.jsonl")
    assert current == files.read("recommendations/recommendations-2000-12-15.jsonl")[0]
    lines = [json.loads(line) for line in current.splitlines()]
    names = ["account_id", "rank", "item_id", "score", "publication_id"]
    assert [tuple(line[name] for name in names) for line in lines] == expected(second)
    assert lines[0]["as_of"] == "2000-12-15"
    assert lines[0]["reason"] is None
    assert "person_id" not in lines[0]

    assert write_back(platform, first, settings) == 14  # rollback
    assert files.read("recommendations/current.jsonl") == files.read("recommendations/recommendations-2000-12-14.jsonl")


JOY = ["because you rated Joy \U0001f600 \u96ea\u0000"] * 6


def test_any_title_arrives(database, declare, settings) -> None:
    if database.technology == "mysql":
        database.execute(f"alter database {database.url.split('/')[-1].split('?')[0]} character set latin1")
    database.execute("create table orders (order_no varchar(9))")
    platform = declare(database.url, TABLES.replace(", path: orders.jsonl", ""), write_back=TARGET)
    write_back(platform, publication(14, reason=JOY), settings)
    assert write_back(platform, publication(14, reason=JOY), settings) == 0
    [(reason,)] = database.execute("select distinct reason from crossrec_recommendations")
    assert reason == JOY[0].removesuffix("\0")


def test_a_database_that_has_no_room_for_a_title_says_so(postgres_server, declare, settings) -> None:
    name = "latin_lists"
    create = f"create database {name} encoding 'LATIN1' locale 'C' template template0"
    postgres_server.run(settings, postgres_server.first_database, create)
    postgres_server.run(settings, name, "create table orders (order_no text)")
    platform = declare(postgres_server.url(name), TABLES.replace(", path: orders.jsonl", ""), write_back=TARGET)
    assert write_back(platform, publication(14, reason=["because you rated Am\u00e9lie"] * 6), settings) == 6
    [(reason, letters)] = postgres_server.run(
        settings,
        name,
        "select distinct encode(convert_to(reason, 'UTF8'), 'hex') as reason, length(reason) as letters"
        " from crossrec_recommendations",
    )
    assert (bytes.fromhex(reason).decode(), letters) == ("because you rated Am\u00e9lie", 24)
    with pytest.raises(PlatformError, match="the database's character set cannot hold the lists"):
        write_back(platform, publication(15, reason=JOY), settings)
