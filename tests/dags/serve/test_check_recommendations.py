"""What the gate finds out about each row, and who must have a list; marts, identity and ranked rows are made by hand."""

from datetime import date
from pathlib import Path

import duckdb
import pyarrow as pa
import pytest

from dags.steps.merge.kinds import PERSON
from dags.steps.night import Night
from dags.steps.serve.listed_rows import active_accounts, compared, listed_rows, rows_lost
from infra.settings import Settings
from infra.warehouse import query
from ml.ranking.shards import RANKED
from tests.compiled import create_views

NIGHT = date(2000, 12, 15)
# P1 had A on the shop, where things are consumed again, and B on the forum, where nothing is
MARTS = """
create schema marts;
create schema intermediate;
create table marts.snapshots as select date '2000-12-15' as as_of, 'scoring' as role;
create table marts.person_products as from (values
    ('P1', 'forum', 'A'), ('P1', 'forum', 'B'), ('P1', 'shop', 'B')
) as had (person_id, platform, product_id);
create table marts.product_items as select *, true as is_available, timestamp '2000-01-01' as created_at from (values
    ('shop', 'a', 'A'), ('shop', 'b', 'B'), ('forum', 'a', 'A'), ('forum', 'b', 'B')
) as items (platform, item_id, product_id);
create table marts.active_rules (platform varchar, item_id varchar, product_id varchar, rule varchar);
create table marts.person_accounts as select *, timestamp '2000-01-01' as created_at from (values
    ('shop', 'C1', 'P1'), ('forum', 'C1', 'P1'), ('shop', 'C2', 'P2')
) as accounts (platform, account_id, person_id);
create table intermediate.int_accounts as
select *, timestamp '2000-01-01' as created_at, '18-24' as age_band, true as is_active
from (values ('shop', 'C1'), ('forum', 'C1'), ('shop', 'C2')) as accounts (platform, account_id);
create table marts.popular_lists as from (values
    ('shop', '18-24', 'a'), ('shop', '18-24', 'b'), ('shop', '56+', 'a')
) as popular (platform, segment, item_id);
create table marts.candidates as
select *, date '2000-12-15' as as_of, 0.0 as repeat_score from (values
    ('P1', 'shop', 'a', 4.0), ('P1', 'shop', 'b', 2.0), ('P1', 'forum', 'a', 1.0), ('P1', 'forum', 'b', 1.0)
) as candidates (person_id, platform, item_id, generators);
"""
RANKED_ROWS = [
    ("P1", None, "shop", "a", 1, "personalised"),
    ("P1", None, "shop", "b", 2, "personalised"),
    ("P1", None, "forum", "a", 1, "personalised"),
    ("P1", None, "forum", "b", 2, "personalised"),
    (None, "C2", "shop", "a", 1, "popular"),
]


@pytest.fixture
def night(tmp_path: Path) -> Night:
    night = Night(NIGHT, settings=Settings(home=tmp_path, scoring_shards=1))
    with duckdb.connect(str(night.settings.warehouse_path)) as warehouse:
        warehouse.execute(MARTS)
        create_views(warehouse, "offered_items", "entitled_accounts")
    identity = [("shop", "C1", "P1"), ("forum", "C1", "P1"), ("shop", "C2", "P2")]
    ids = pa.table(dict(zip(("platform", "id", "cluster_id"), map(list, zip(*identity, strict=True)), strict=True)))
    PERSON.store(night.lake).write_named(NIGHT, "account_persons", ids)
    ranked = [
        {
            **dict(zip(("person_id", "account_id", "platform", "item_id", "rank", "strategy"), row, strict=True)),
            "product_id": row[3].upper(),
            "score": 1.0 / row[4],
            "slot": "ranked",
            "propensity": 1.0,
            "model_version": "7" if row[0] else None,
        }
        for row in RANKED_ROWS
    ]
    night.write_table(night.key("ranked/shard=0.parquet"), pa.Table.from_pylist(ranked, RANKED))
    return night


def lists(*changes: tuple[int, str, object]) -> pa.Table:
    """The lists that the ranked rows make; a change is of one row, counted from 0."""
    rows = [
        {
            "platform": platform,
            "account_id": account or "C1",
            "person_id": person or "P2",
            "item_id": item,
            "product_id": item.upper(),
            "rank": rank,
            "score": 1.0 / rank,
            "strategy": strategy,
            "slot": "ranked",
            "propensity": 1.0,
            "model_version": "7" if person else None,
            "recommendation_id": f"{platform}-{account or 'C1'}-{item}",
        }
        for person, account, platform, item, rank, strategy in RANKED_ROWS
    ]
    schema = pa.Table.from_pylist(rows).schema.set(5, pa.field("rank", pa.int32()))
    for row, column, value in changes:
        rows[row][column] = value
    return pa.Table.from_pylist(rows, schema)


def flags(night: Night, flag: str, table: pa.Table | None = None) -> dict[tuple[str, str, str], object]:
    with compared(night, table or lists()) as warehouse:
        rows = listed_rows(night, warehouse).to_pylist()
    assert len(rows) == len(RANKED_ROWS)
    return {(row["platform"], row["account_id"], row["item_id"]): row[flag] for row in rows}


def denied(night: Night, flag: str, table: pa.Table | None = None) -> set[tuple[str, str, str]]:
    return {row for row, value in flags(night, flag, table).items() if value is False}


CONFIRMED = (
    "is_account",
    "is_own",
    "in_catalogue",
    "is_product",
    "is_available",
    "is_proposed",
    "is_scored",
    "is_id_unique",
)


def test_honest_lists_are_confirmed_in_everything(night) -> None:
    assert {flag: denied(night, flag) for flag in CONFIRMED} == {flag: set() for flag in CONFIRMED}
    with compared(night, lists()) as warehouse:
        assert rows_lost(warehouse) == {}
        assert active_accounts(warehouse).to_pylist() == [
            {"platform": "forum", "account_id": "C1"},
            {"platform": "shop", "account_id": "C1"},
            {"platform": "shop", "account_id": "C2"},
        ]


def test_what_was_had_where_it_is_consumed_again_is_flagged_on_every_other_platform(night) -> None:
    assert [row for row, value in flags(night, "is_consumed").items() if value] == [
        ("forum", "C1", "a"),
        ("forum", "C1", "b"),
        ("shop", "C1", "b"),
    ]


def test_who_had_all_that_is_offered_needs_a_list_where_it_may_be_offered_again(night) -> None:
    assert query(night.settings, "from marts.entitled_accounts order by account_id").to_pylist() == [
        {"platform": "shop", "account_id": "C1", "products_left": 1},
        {"platform": "shop", "account_id": "C2", "products_left": 2},
    ]


def test_lists_of_strangers_are_seen_whatever_person_they_name(night) -> None:
    """C1 and C2 of the shop swapped their lists: they name the right persons, or they name those whose lists they were."""
    swapped = [(row, "account_id", account) for row, account in ((0, "C2"), (1, "C2"), (4, "C1"))]
    renamed = [(row, "person_id", person) for row, person in ((0, "P2"), (1, "P2"), (4, "P1"))]
    rows = {("shop", "C1", "a"), ("shop", "C2", "a"), ("shop", "C2", "b")}
    assert denied(night, "is_own", lists(*swapped)) == rows
    assert denied(night, "is_own", lists(*swapped, *renamed)) == set()
    assert denied(night, "is_scored", lists(*swapped, *renamed)) == rows
    assert denied(night, "is_proposed", lists(*swapped, *renamed)) == {("shop", "C2", "a"), ("shop", "C2", "b")}


def test_what_the_person_had_is_known_by_the_identity_and_not_by_the_list(night) -> None:
    stranger = lists((1, "person_id", "P2"), (1, "product_id", "A"))
    assert flags(night, "is_consumed", stranger)["shop", "C1", "b"]
    assert denied(night, "is_product", stranger) == {("shop", "C1", "b")}


@pytest.mark.parametrize(
    ("change", "flag", "expected"),
    [
        ("insert into marts.active_rules values ('shop', 'a', 'A', 'ban')", "is_banned", {("shop", "C1", "a"), ("shop", "C2", "a")}),
        ("update marts.product_items set is_available = item_id = 'a'", "not is_available", {("forum", "C1", "b"), ("shop", "C1", "b")}),
        ("delete from marts.product_items where platform = 'forum'", "not in_catalogue", {("forum", "C1", "a"), ("forum", "C1", "b")}),
        ("update intermediate.int_accounts set is_active = account_id != 'C2'", "not is_account", {("shop", "C2", "a")}),
        ("delete from intermediate.int_accounts where account_id = 'C2'", "not is_account", {("shop", "C2", "a")}),
        (
            "update intermediate.int_accounts set created_at = timestamp '2000-12-15' where account_id = 'C2'",
            "not is_account",
            {("shop", "C2", "a")},
        ),
        ("delete from marts.candidates where item_id = 'b'", "not is_proposed", {("forum", "C1", "b"), ("shop", "C1", "b")}),
        (
            "update marts.candidates set as_of = '2000-12-14' where platform = 'shop'",
            "not is_proposed",
            {("shop", "C1", "a"), ("shop", "C1", "b")},
        ),
        ("update intermediate.int_accounts set age_band = '35-44'", "not is_proposed", {("shop", "C2", "a")}),
    ],
)  # fmt: skip
def test_a_row_is_flagged_as_the_warehouse_has_it_now(night, change, flag, expected) -> None:
    with duckdb.connect(str(night.settings.warehouse_path)) as warehouse:
        warehouse.execute(change)
    name = flag.removeprefix("not ")
    assert {row for row, value in flags(night, name).items() if value is not (name != flag)} == expected


def test_only_a_pin_makes_a_pinned_row(night) -> None:
    pinned = lists((0, "slot", "pinned"))
    assert denied(night, "is_proposed", pinned) == {("shop", "C1", "a")}
    with duckdb.connect(str(night.settings.warehouse_path)) as warehouse:
        warehouse.execute("insert into marts.active_rules values ('shop', 'a', 'A', 'pin')")
    assert denied(night, "is_proposed", pinned) == set()


@pytest.mark.parametrize(
    ("column", "value"),
    [("rank", 3), ("score", 0.3), ("slot", "explored"), ("propensity", 0.5), ("model_version", "6"), ("item_id", "b")],
)
def test_a_row_other_than_it_was_scored_is_seen_and_the_scored_one_is_lost(night, column, value) -> None:
    table = lists((0, column, value))
    with compared(night, table) as warehouse:
        assert [row["is_scored"] for row in listed_rows(night, warehouse).to_pylist()].count(False) == 1
        assert rows_lost(warehouse) == {"shop": 1}


def test_rows_that_were_scored_and_are_in_no_list_are_counted(night) -> None:
    with compared(night, lists().slice(0, 3)) as warehouse:
        assert rows_lost(warehouse) == {"forum": 1, "shop": 1}


def test_an_id_of_two_rows_is_seen_on_both_platforms(night) -> None:
    assert denied(night, "is_id_unique", lists((0, "recommendation_id", "x"), (2, "recommendation_id", "x"))) == {
        ("shop", "C1", "a"),
        ("forum", "C1", "a"),
    }


def test_what_is_consumed_again_is_left_out_of_the_comparison_of_generators(night) -> None:
    assert [flags(night, name)["shop", "C1", "a"] for name in ("generators", "usual_generators")] == [4.0, 3.0]
    with duckdb.connect(str(night.settings.warehouse_path)) as warehouse:
        warehouse.execute("update marts.candidates set repeat_score = 1 where item_id = 'a' and platform = 'shop'")
    assert [flags(night, name)["shop", "C1", "a"] for name in ("generators", "usual_generators")] == [None, 2.0]
