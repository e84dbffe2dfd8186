"""The conservation table line by line: real gates over a lake and a warehouse that are made by hand, each line broken once."""

from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest

from dags.steps.conservation import conservation_of, prove
from dags.steps.learn.check_interactions import check_interactions
from dags.steps.learn.label_lines import label_lines, newly_labelled
from dags.steps.merge.check_reconciliation import check_reconciliation
from dags.steps.night import Night
from dags.steps.records import BuildPlan, RowCounts, ServingModel
from dags.steps.serve.check_lists import check_lists
from expectations.gate import GateResult, GateStopped
from infra.lake import write_table
from infra.platforms import Manifest
from infra.platforms.manifest import Counts, LoadedFile
from infra.settings import Settings
from infra.warehouse import connect
from tests.compiled import create_views

SCORED = pa.schema([("platform", pa.string()), ("is_candidate", pa.bool_()), ("rows", pa.int64())])
BEFORE, AS_OF = date(2000, 12, 14), date(2000, 12, 15)
LANDED = {"customers": (3, 1), "products": (2, 0), "orders": (4, 1), "order_lines": (9, 6)}  # before, and tonight
COUNTS = [
    ("accounts", BEFORE, 3, 0, 0, 0),
    ("accounts", AS_OF, 1, 0, 0, 0),
    ("items", BEFORE, 2, 0, 0, 0),
    ("events", BEFORE, 7, 1, 1, 0),
    ("events", AS_OF, 4, 0, 1, 1),
]
FATES = [
    ("accounts", BEFORE, "kept", True, 2),
    ("accounts", BEFORE, "deleted", False, 1),
    ("accounts", AS_OF, "kept", True, 1),
    ("items", BEFORE, "kept", True, 2),
    ("events", BEFORE, "kept", True, 5),
    ("events", BEFORE, "superseded", False, 2),
    ("events", AS_OF, "kept", True, 2),
    ("events", AS_OF, "unknown_item", True, 1),
    ("events", AS_OF, "unknown_account", False, 1),
]
GONE = [("accounts", AS_OF, "deleted", 2), ("accounts", AS_OF, "no_such_id", 1)]
ORDERS = [(BEFORE, "joined", 4), (AS_OF, "joined", 1)]
CORE = [("accounts", None, 3, 3), ("items", None, 2, None), ("events", BEFORE, 5, 5), ("events", AS_OF, 3, 3)]
ACCOUNTS = [("C1", "P1"), ("C2", "P1"), ("C3", "P2"), ("new", "P3"), ("had", "P4")]


@pytest.fixture
def night(tmp_path: Path) -> Night:
    """A night in which every line of the shop adds up; the other platforms brought nothing."""
    night = Night(AS_OF, settings=Settings(home=tmp_path, list_size=2))
    for table, rows in LANDED.items():
        for load_date, count in zip((BEFORE, AS_OF), rows, strict=True):
            _land(night, table, load_date, count)
    with connect(night.settings, read_only=False) as warehouse:
        for schema in ("intermediate", "marts", "staging"):
            warehouse.execute(f"create schema {schema}")
        for name, content in (("row_counts", COUNTS), ("row_fates", FATES)):
            _create(warehouse, f"intermediate.int_quality__{name}", content)
        _create(warehouse, "intermediate.int_quality__gone_fates", GONE)
        _create(warehouse, "marts.core_counts", CORE)
        _create(warehouse, "staging.stg_shop__orders_fates", ORDERS)
        accounts = ", ".join(f"('shop', '{account}', '{person}', {_created(account)})" for account, person in ACCOUNTS)
        warehouse.execute(
            f"create table marts.person_accounts as from (values {accounts}) t(platform, account_id, person_id, created_at)"
        )
        warehouse.execute(
            "create table intermediate.int_accounts as select *, true as is_active, '18-24' as age_band from marts.person_accounts"
        )
        warehouse.execute(CANDIDATES)
        create_views(warehouse, "label_fates")
        warehouse.execute(
            "create table marts.entitled_accounts as from marts.person_accounts where account_id like 'C%'"
        )
    _rank(night)
    return night


# P1 has two candidates that are scored and one that has no room, P2 has one that is banned and one for which a pin stands
CANDIDATES = """
create table marts.snapshots as from (values (date '2000-12-15', 'scoring'), (date '2000-12-08', 'evaluation')) t(as_of, role);
create table marts.candidates as select date '2000-12-15' as as_of, *, if(item_id = 'b', 3.0, 1.0)::double as generators from (values
    ('P1', 'shop', 'a', 'A'), ('P1', 'shop', 'b', 'B'), ('P1', 'shop', 'c', 'C'), ('P2', 'shop', 'd', 'D'), ('P2', 'shop', 'e', 'E'),
    ('P1', 'new', 'a', 'A')
) t(person_id, platform, item_id, product_id);
create table marts.candidate_sources as select * exclude (generators), unnest(range(generators::int)) as generator from marts.candidates;
create table marts.serving_candidates as select *, true as is_candidate from marts.candidates where person_id = 'P1' and platform = 'shop';
create table marts.active_rules as from (values
    ('shop', 'D', 'ban', false), ('shop', 'E', 'pin', true)
) t(platform, product_id, rule, is_available);
insert into marts.candidates from (values
    (date '2000-12-08', 'P1', 'shop', 'a', 'A', 1), (date '2000-12-08', 'P1', 'shop', 'b', 'B', 1),
    (date '2000-12-08', 'P2', 'shop', 'a', 'A', 1)
);
create table marts.training_examples as
select *, cast(item_id = 'a' as int) as label from marts.candidates where as_of = '2000-12-08' and person_id = 'P1';
create table marts.snapshot_labels as select date '2000-12-08' as as_of, * from (values
    ('P1', 'shop', 'A'), ('P1', 'shop', 'C'), ('P1', 'shop', 'Z'), ('P3', 'shop', 'A')
) t(person_id, platform, product_id);
create table marts.candidate_pairs as select distinct as_of, person_id, platform from marts.candidates;
create table marts.offers as select date '2000-12-08' as as_of, 'shop' as platform, unnest(['A', 'B', 'C']) as product_id;
create table marts.interactions as select *, null::timestamp as superseded_at, 'shop' as platform, occurred_at as known_at from (values
    ('P1', 'A', timestamp '2000-12-09', true), ('P1', 'A', timestamp '2000-12-10', true), ('P1', 'C', timestamp '2000-12-09', true),
    ('P1', 'Z', timestamp '2000-12-09', true), ('P3', 'A', timestamp '2000-12-09', true), ('P3', 'B', timestamp '2000-12-09', true),
    ('P3', 'B', timestamp '2000-12-01', false), ('P3', 'C', timestamp '2000-12-09', false), ('P3', 'C', timestamp '2000-12-15', true)
) t(person_id, product_id, occurred_at, is_positive);
"""


COLUMNS = {
    "intermediate.int_quality__row_counts": {
        "contract": "varchar",
        "load_date": "date",
        **{f"rows_{kind}": "int" for kind in ("staged", "duplicate", "quarantined", "unreadable")},
    },
    "intermediate.int_quality__row_fates": {
        "contract": "varchar",
        "load_date": "date",
        "fate": "varchar",
        "is_kept": "boolean",
        "fate_rows": "int",
    },
    "intermediate.int_quality__gone_fates": {
        "contract": "varchar",
        "load_date": "date",
        "fate": "varchar",
        "fate_rows": "int",
    },
    "marts.core_counts": {"contract": "varchar", "load_date": "date", "mart_rows": "int", "rows_of_persons": "int"},
    "staging.stg_shop__orders_fates": {"load_date": "date", "fate": "varchar", "fate_rows": "int"},
}


def _create(warehouse: duckdb.DuckDBPyConnection, table: str, rows: list[Any]) -> None:
    columns = COLUMNS[table]
    typed = ", ".join(f"{name} {kind}" for name, kind in columns.items())
    warehouse.execute(f"create table {table} ({typed}, platform varchar default 'shop')")
    places = ", ".join("?" * len(columns))
    warehouse.executemany(f"insert into {table} ({', '.join(columns)}) values ({places})", rows)


def _created(account: str) -> str:
    return f"timestamp '{'2000-12-15 06:00' if account == 'new' else '2000-01-01'}'"


def _land(night: Night, table: str, load_date: date, rows: int) -> None:
    folder = f"raw/platform=shop/table={table}/load_date={load_date}"
    key = f"{folder}/part-00000.parquet"
    write_table(night.lake, key, pa.table({"_row": range(rows)}))
    manifest = Manifest(
        platform="shop",
        table=table,
        as_of=load_date,
        rows=rows,
        watermark_from=None,
        watermark_to=datetime(2000, 12, 15, tzinfo=UTC),
        newest_known_at=None,
        columns=[],
        schema_fingerprint="",
        undeclared_columns=0,
        counts=Counts(
            in_source=rows, read=rows, landed=rows, gone=3 if (table, load_date) == ("customers", AS_OF) else 0
        ),
        source_files=[],
        files=[LoadedFile(key=key, rows=rows, sha256="")],
        extracted_with="by hand",
    )
    night.lake.put(f"{folder}/_manifest.json", manifest.model_dump_json().encode())


def _rank(night: Night) -> None:
    """Two items for the person of C1 and C2, a popular list of one for C3, and the lists that are made of them."""
    common = {"platform": "shop", "product_id": "p", "category": "c"}
    ranked = [{**common, "person_id": "P1", "account_id": None, "strategy": "personalised"}] * 2
    ranked += [{**common, "person_id": "P2", "account_id": "C3", "strategy": "popular"}]
    rows = pa.Table.from_pylist(ranked)
    for shard, part in enumerate((rows[:1], rows[1:])):
        night.write_table(night.key(f"ranked/shard={shard}.parquet"), part)
        night.write_table(night.key(f"scored/shard={shard}.parquet"), scored(3 - 3 * shard))
    night.write(ServingModel(version=7, run_id="r"))
    night.write(BuildPlan(full_refresh=False))
    persons = [{"platform": "shop", "account_id": account, "person_id": person} for account, person in ACCOUNTS]
    night.write_table(f"identity/as_of={AS_OF}/account_persons.parquet", pa.Table.from_pylist(persons))
    night.write_table(night.key("lists.parquet"), lists("C1", "C1", "C2", "C2", "C3"))


def scored(rows: int) -> pa.Table:
    return pa.Table.from_pylist([{"platform": "shop", "is_candidate": True, "rows": rows}], SCORED)


def lists(*accounts: str) -> pa.Table:
    return pa.Table.from_pylist([{"platform": "shop", "account_id": account} for account in accounts])


def prove_labels(night: Night) -> None:
    prove(night, "labels", label_lines(night), remedy="x")


def change(night: Night, sql: str) -> None:
    with duckdb.connect(str(night.settings.warehouse_path)) as warehouse:
        warehouse.execute(sql)


def stopped(night: Night, gate: str, step: Callable[[Night], None]) -> str:
    with pytest.raises(GateStopped) as error:
        step(night)
    assert night.read(GateResult, gate).verdict == "stop"
    assert "what was published before stays up" in str(error.value)
    return str(error.value)


def test_every_line_is_proven(night: Night) -> None:
    for step in (check_reconciliation, check_interactions, prove_labels, check_lists):
        step(night)
    assert night.read(GateResult, "reconciliation").verdict == "pass"
    [accounts, events, items] = night.read(RowCounts).counts
    assert (accounts.raw_rows, items.raw_rows) == (4, 2)
    assert (events.raw_rows, events.staged_rows, events.duplicate_rows, events.quarantined_rows) == (15, 11, 1, 3)
    shown = [
        (line.table, line.stage, line.load_date, line.earlier_loads, line.rows, {p.name: p.rows for p in line.parts})
        for line in conservation_of(night)
        if line.table in ("order_lines", "orders", "lists", "candidates", "labels")
    ]
    assert sorted(shown, key=str) == sorted(
        [
            ("order_lines", "source", AS_OF, 0, 6, {"landed": 6}),
            ("order_lines", "landed", AS_OF, 0, 6, {"landed": 6}),
            ("order_lines", "staged", AS_OF, 0, 6, {"staged": 4, "quarantined": 1, "unreadable": 1}),
            ("order_lines", "staged", None, 1, 9, {"staged": 7, "duplicate": 1, "quarantined": 1}),
            ("order_lines", "fates", AS_OF, 0, 4, {"kept": 2, "unknown_account": 1, "unknown_item": 1}),
            ("order_lines", "fates", None, 1, 7, {"kept": 5, "superseded": 2}),
            ("order_lines", "marts", AS_OF, 0, 3, {"interaction": 3}),
            ("order_lines", "marts", None, 1, 5, {"interaction": 5}),
            ("order_lines", "persons", AS_OF, 0, 3, {"of_a_person": 3}),
            ("order_lines", "persons", None, 1, 5, {"of_a_person": 5}),
            ("orders", "source", AS_OF, 0, 1, {"landed": 1}),
            ("orders", "landed", AS_OF, 0, 1, {"landed": 1}),
            ("orders", "joined", AS_OF, 0, 1, {"joined": 1}),
            ("orders", "joined", None, 1, 4, {"joined": 4}),
            ("labels", "positives", AS_OF, 0, 6, {"label": 5, "had_before": 1}),
            (
                "labels",
                "labels",
                AS_OF,
                0,
                4,
                {"positive_example": 1, "not_proposed": 1, "not_on_offer": 1, "too_few_events": 1},
            ),
            ("labels", "proposed", AS_OF, 0, 3, {"example": 2, "of_nobody_with_a_label": 1}),
            ("candidates", "proposals", AS_OF, 0, 1, {"of_a_candidate": 1}),
            ("candidates", "proposals", AS_OF, 0, 7, {"of_a_candidate": 7}),
            ("candidates", "candidates", AS_OF, 0, 1, {"not_learned": 1}),
            ("candidates", "candidates", AS_OF, 0, 5, {"scored": 3, "banned": 1, "of_a_pinned_product": 1}),
            ("candidates", "scored", AS_OF, 0, 3, {"ranked": 2, "below_the_list": 1}),
            ("lists", "accounts", AS_OF, 0, 5, {"listed": 3, "created_later": 1, "had_everything": 1}),
            ("lists", "ranked", AS_OF, 0, 5, {"list_row": 5}),
        ],
        key=str,
    )


C, F = "intermediate.int_quality__row_counts", "intermediate.int_quality__row_fates"
EARLIER, TONIGHT = "load_date = '2000-12-14'", "load_date = '2000-12-15'"


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        (
            f"update {C} set rows_staged = 6 where contract = 'events' and {EARLIER}",
            "order_lines of 2000-12-14, staged (1)",
        ),
        (f"delete from {C} where contract = 'items'", "products of 2000-12-14, staged (2)"),
        (f"update {C} set load_date = '2000-12-13' where contract = 'items'", "products of 2000-12-13, staged (-2)"),
        (f"delete from {F} where fate = 'superseded'", "order_lines of 2000-12-14, fates (2)"),
        (f"delete from {F} where contract = 'accounts' and {TONIGHT}", "customers of 2000-12-15, fates (1)"),
        (
            "delete from intermediate.int_quality__gone_fates where fate = 'deleted'",
            "customers of 2000-12-15, gone (2)",
        ),
        (f"delete from staging.stg_shop__orders_fates where {EARLIER}", "orders of 2000-12-14, joined (4)"),
    ],
)
def test_a_row_that_is_lost_before_linkage_stops(broken: str, said: str, night: Night) -> None:
    change(night, broken)
    assert said in stopped(night, "reconciliation", check_reconciliation)
    broken_lines = [line for line in conservation_of(night) if line.difference]
    assert broken_lines
    assert not any(line.earlier_loads for line in broken_lines), "a line that does not add up stands by itself"


def test_files_that_hold_other_rows_than_their_manifest_says_stop(night: Night) -> None:
    key = f"raw/platform=shop/table=orders/load_date={AS_OF}/part-00000.parquet"
    write_table(night.lake, key, pa.table({"_row": range(0)}))
    assert "shop.orders of 2000-12-15, landed (1)" in stopped(night, "reconciliation", check_reconciliation)
    night.lake.delete(key)
    said = stopped(night, "reconciliation", check_reconciliation)
    assert "expected all counts of every line; found shop.orders of 2000-12-15, landed." in said


@pytest.mark.parametrize(
    ("change_of_counts", "said"),
    [
        (f"update marts.core_counts set mart_rows = 2 where {TONIGHT}", "order_lines of 2000-12-15, marts (1)"),
        (f"update marts.core_counts set mart_rows = 9 where {EARLIER}", "order_lines of 2000-12-14, marts (-4)"),
        (f"update marts.core_counts set rows_of_persons = 4 where {EARLIER}", "order_lines of 2000-12-14, persons (1)"),
        ("delete from marts.core_counts where contract = 'accounts'", "customers, marts (3)"),
        ("update marts.core_counts set mart_rows = 1 where contract = 'items'", "products, marts (1)"),
    ],
)
def test_a_row_that_a_mart_lost_stops(change_of_counts: str, said: str, night: Night) -> None:
    change(night, change_of_counts)
    assert said in stopped(night, "interactions", check_interactions)


def test_an_account_without_a_list_and_without_a_reason_stops(night: Night) -> None:
    night.write_table(night.key("lists.parquet"), lists("C1", "C1", "C2", "C2", "C2"))
    said = stopped(night, "lists", check_lists)
    assert "shop.lists of 2000-12-15, accounts (1)" in said
    assert "ranked (" not in said


def test_a_ranked_row_that_is_in_no_list_stops(night: Night) -> None:
    night.write_table(night.key("lists.parquet"), lists("C1", "C2", "C2", "C3"))
    assert "shop.lists of 2000-12-15, ranked (1)" in stopped(night, "lists", check_lists)


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        ("delete from marts.snapshot_labels where product_id = 'Z'", "labels of 2000-12-15, positives (1)"),
        ("delete from marts.training_examples where label = 1", "labels of 2000-12-15, labels (1)"),
        ("delete from marts.training_examples where label = 0", "labels of 2000-12-15, proposed (1)"),
    ],
)
def test_a_label_or_an_example_that_is_lost_stops(broken: str, said: str, night: Night) -> None:
    change(night, broken)
    assert said in stopped(night, "labels", prove_labels)


def test_a_candidate_that_is_not_scored_and_has_no_reason_stops(night: Night) -> None:
    change(night, "delete from marts.serving_candidates where item_id = 'c'")
    night.write_table(night.key("scored/shard=0.parquet"), scored(2))
    assert "candidates of 2000-12-15, candidates (1)" in stopped(night, "lists", check_lists)


def test_a_candidate_that_was_proposed_and_is_gone_stops(night: Night) -> None:
    change(night, "delete from marts.candidates where item_id = 'c' and as_of = '2000-12-15'")
    assert "shop.candidates of 2000-12-15, proposals (1)" in stopped(night, "lists", check_lists)


def test_a_candidate_that_a_score_task_lost_stops(night: Night) -> None:
    night.write_table(night.key("scored/shard=0.parquet"), scored(2))
    assert "candidates of 2000-12-15, candidates (1)" in stopped(night, "lists", check_lists)


def test_a_list_that_is_shorter_than_its_candidates_stops(night: Night) -> None:
    settings = night.settings.model_copy(update={"list_size": 3})
    assert "candidates of 2000-12-15, scored (1)" in stopped(Night(AS_OF, settings=settings), "lists", check_lists)


def test_labels_are_proven_on_the_night_that_made_them(night: Night) -> None:
    next_night = Night(date(2000, 12, 16), settings=night.settings)
    next_night.write(BuildPlan(full_refresh=False))
    assert newly_labelled(night) == [date(2000, 12, 8)]
    assert newly_labelled(next_night) == []
    next_night.write(BuildPlan(full_refresh=True))
    assert newly_labelled(next_night) == [date(2000, 12, 8)]


@pytest.mark.parametrize(("changes", "verdict"), [({}, "pass"), ({"warn_unknown_ids": 0.001}, "warn")])
def test_the_settings_say_how_many_unknown_ids_are_too_many(
    changes: dict[str, Any], verdict: str, night: Night
) -> None:
    """One event of an unknown account, and one of an unknown item, among the four of tonight: 1/500 each."""
    settings = Settings(home=night.settings.home, **changes)
    strict = Night(AS_OF, settings=settings)
    check_reconciliation(strict)
    assert strict.read(GateResult, "reconciliation").verdict == verdict
