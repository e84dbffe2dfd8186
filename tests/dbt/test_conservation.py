"""Whatever accounts, items and events do: every row becomes something that has a name, and an event counts for who wrote it."""

import csv
import json
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any

import duckdb
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from infra.warehouse import DBT_PROJECT
from tests.compiled import create_tables

BEGIN, AS_OF = datetime(2000, 12, 1), date(2000, 12, 15)
LOADS = (date(2000, 12, 14), AS_OF)
HANDLES = ("ann", "bob", "cy")
ITEMS = ("f-1", "f-2")
TYPES = {
    "accounts": {
        "account_id": "varchar",
        "formerly_account_id": "varchar",
        "renamed_at": "timestamp",
        "created_at": "timestamp",
        "is_deleted": "boolean",
        "age_band": "varchar",
        **dict.fromkeys(("gender", "email_token", "phone_token", "device_token", "loyalty_token"), "varchar"),
    },
    "items": {
        "item_id": "varchar",
        **dict.fromkeys(("title", "description", "creator", "gtin", "isbn", "imdb_id", "categories"), "varchar"),
        "release_year": "integer",
        "price": "double",
        "is_available": "boolean",
        "created_at": "timestamp",
    },
    "events": {
        **dict.fromkeys(("event_id", "account_id", "item_id", "event_type", "device"), "varchar"),
        "value": "double",
        "occurred_at": "timestamp",
    },
}
LOAD = {
    "known_at": "timestamp",
    "load_date": "date",
    "raw_row": "bigint",
    "row_status": "varchar",
    "reject_reason": "varchar",
}
MODELS = [
    *("int_account_aliases", "int_quality__gone_keys", "int_accounts", "int_items", "int_events"),
    *("int_quality__row_counts", "int_quality__row_fates", "int_quality__gone_fates"),
    *("person_accounts", "persons", "product_items", "interactions", "core_counts"),
]


# --- an oracle that knows nothing of SQL: who held which handle, as it happened


@dataclass
class Member:
    """One human being on the forum, with the handle that they have at the end."""

    handle: str
    created_at: datetime
    formerly: str | None = None
    is_deleted: bool = False
    changes: int = 0


@dataclass
class Forum:
    """What happened to handles, minute by minute, and the rows that its log of members got."""

    now: datetime = BEGIN
    holders: dict[str, Member] = field(default_factory=dict)
    held: dict[str, list[tuple[datetime, Member | None]]] = field(default_factory=dict)
    rows: list[dict[str, Any]] = field(default_factory=list)
    contents: dict[str, tuple[object, ...]] = field(default_factory=dict)

    def happens(self, action: str, which: int, where: int) -> None:
        """One thing to one of the members who are still there, or to a handle that is free."""
        self.now += timedelta(minutes=1)
        active = [handle for handle in HANDLES if handle in self.holders and not self.holders[handle].is_deleted]
        free = [handle for handle in HANDLES if handle not in self.holders]
        if action == "join" and free:
            self._take(free[where % len(free)], Member("", self.now))
        if action == "join" or not active:
            return
        member = self.holders[active[which % len(active)]]
        if action == "rename" and free:
            del self.holders[member.handle]
            self.held[member.handle].append((self.now, None))
            member.formerly = member.handle
            self._take(free[where % len(free)], member)
        elif action in ("change", "delete"):
            member.changes += 1
            member.is_deleted = action == "delete"
            self._log(member)

    def _take(self, handle: str, member: Member) -> None:
        member.handle = handle
        self.holders[handle] = member
        self.held.setdefault(handle, []).append((self.now, member))
        self._log(member)

    def _log(self, member: Member) -> None:
        content = (member.formerly, member.created_at, member.is_deleted, member.changes)
        repeats = self.contents.get(member.handle) == content
        self.contents[member.handle] = content
        row = {"account_id": member.handle, "formerly_account_id": member.formerly, "created_at": member.created_at}
        row |= {"is_deleted": member.is_deleted, "age_band": str(member.changes), "known_at": self.now}
        self.rows.append(row | {"row_status": "duplicate" if repeats else "staged"})

    def author(self, handle: str, at: datetime) -> str | None:
        """Present handle of who held ``handle`` at a time; the handle itself where nobody ever had it or gave it up."""
        holds = self.held.get(handle, [])
        if all(member is not None for _, member in holds):
            return handle
        before = [member for since, member in holds if since < at] or [holds[0][1]]
        after = next((member for since, member in holds if since >= at and member is not None), None)
        last = before[-1]
        if last is None and after is not None and after is before[-2]:
            last = after  # nobody else had it in between
        return last.handle if last else None


ACTIONS = st.tuples(
    st.sampled_from(["join", "rename", "rename", "rename", "change", "delete"]), st.integers(0, 1), st.integers(0, 1)
)
POSTS = st.fixed_dictionaries(
    {
        "event_id": st.sampled_from([f"p{number}" for number in range(6)]),
        "account_id": st.sampled_from([*HANDLES, "nobody", "Ann"]),
        "item_id": st.sampled_from([*ITEMS, "f-9"]),
        "event_type": st.sampled_from(["rate", "rate", "impression"]),
        "minute": st.integers(0, 10),
        "late": st.sampled_from([0, 0, 3, 60 * 24 * 20]),
        "load_date": st.sampled_from(LOADS),
        "row_status": st.sampled_from(["staged", "staged", "staged", "duplicate", "quarantined"]),
    }
)


@given(
    actions=st.lists(ACTIONS, min_size=4, max_size=10),
    others=st.lists(POSTS, max_size=14),
    items=st.sets(st.sampled_from(ITEMS)),
)
@settings(max_examples=60, deadline=None, derandomize=True)
def test_every_row_has_a_fate_and_every_event_its_author(actions, others, items) -> None:
    """Somebody writes under every handle between any two things that happen; others do what they like."""
    forum = Forum()
    forum.happens("join", 0, 0)
    for action in actions:
        forum.happens(*action)
    every_minute = [
        {
            "event_id": f"{handle}-{minute}",
            "account_id": handle,
            "item_id": "f-1",
            "event_type": "rate",
            "minute": minute,
        }
        for handle in HANDLES
        for minute in range(len(actions) + 2)
    ]
    posts = [_post(event) for event in (*every_minute, *others)]
    with _warehouse(accounts=forum.rows, items=[_item(item) for item in sorted(items)], events=posts) as warehouse:
        assert _unaccounted(warehouse) == []
        first_known: dict[str, datetime] = {}
        for post in posts:
            if post["row_status"] == "staged" and post["known_at"] < datetime(2000, 12, 15):
                event, known_at = post["event_id"], post["known_at"]
                first_known[event] = min(known_at, first_known.get(event, known_at))
        rows = warehouse.execute(
            "select event_id, handle, account_id, occurred_at from intermediate.int_events"
        ).fetchall()
        assert len({event for event, *_ in rows}) == len(first_known)
        for event, handle, account, occurred_at in rows:
            assert account == forum.author(handle, min(occurred_at, first_known[event]))
        accounts = warehouse.execute("select account_id, is_active from intermediate.int_accounts").fetchall()
        assert dict(accounts) == {handle: not member.is_deleted for handle, member in forum.holders.items()}


def test_the_example_of_a_handle_that_is_used_again() -> None:
    """r2; r2_new, formerly r2, on 1 December; a stranger r2 on the 5th; an event of r2 on the 14th: two people."""
    accounts = [
        {"account_id": "r2", "created_at": datetime(2000, 1, 1), "known_at": datetime(2000, 1, 1)},
        {"account_id": "r2_new", "formerly_account_id": "r2", "created_at": datetime(2000, 1, 1), "known_at": BEGIN},
        {"account_id": "r2", "created_at": datetime(2000, 12, 5), "known_at": datetime(2000, 12, 5)},
    ]
    events = [_event("p1", "r2", datetime(2000, 11, 20)), _event("p2", "r2", datetime(2000, 12, 14))]
    with _warehouse(accounts=accounts, items=[_item("f-1")], events=events) as warehouse:
        people = warehouse.execute("select event_id, person_id from marts.interactions order by all").fetchall()
        assert people == [("p1", "person of r2_new"), ("p2", "person of r2")]
        assert _fates(warehouse, "events") == {"renamed": 1, "kept": 1}


def test_ids_that_are_spelt_otherwise_are_counted() -> None:
    spellings = ("r1", "R1", "r1 ", "r1.0", "r01", "NaN", "NULL")
    accounts = [{"account_id": "r1", "created_at": BEGIN, "known_at": BEGIN}]
    events = [_event(f"p{number}", handle, datetime(2000, 12, 14)) for number, handle in enumerate(spellings)]
    with _warehouse(accounts=accounts, items=[_item("f-1")], events=events) as warehouse:
        assert _fates(warehouse, "events") == {"kept": 1, "unknown_account": 6}


def test_what_is_gone_is_deleted_until_it_comes_back() -> None:
    accounts = [
        {"account_id": name, "created_at": BEGIN, "known_at": BEGIN, "load_date": LOADS[0]} for name in ("a", "b", "c")
    ]
    accounts += [{**accounts[1], "load_date": AS_OF, "row_status": "duplicate"}]
    gone = [("accounts", AS_OF, "a"), ("accounts", LOADS[0], "b"), ("accounts", AS_OF, "z"), ("items", AS_OF, "f-1")]
    items = [{**_item(item), "load_date": LOADS[0], "is_available": True} for item in ITEMS]
    events = [_event("p1", "a", BEGIN), _event("p2", "b", BEGIN)]
    with _warehouse(*gone, accounts=accounts, items=items, events=events) as warehouse:
        assert _unaccounted(warehouse) == []
        active = warehouse.execute("select account_id, is_active from intermediate.int_accounts").fetchall()
        assert dict(active) == {"a": False, "b": True, "c": True}
        available = warehouse.execute("select item_id, is_available from intermediate.int_items").fetchall()
        assert dict(available) == {"f-1": False, "f-2": True}
        fates = warehouse.execute(
            "select contract, fate, fate_rows from intermediate.int_quality__gone_fates"
        ).fetchall()
        assert sorted(fates) == [
            ("accounts", "came_back", 1),
            ("accounts", "deleted", 1),
            ("accounts", "no_such_id", 1),
            ("items", "no_such_id", 1),
            ("items", "withdrawn", 1),
        ]
        assert _fates(warehouse, "events") == {"deleted_account": 1, "kept": 1}


def _item(item: str) -> dict[str, Any]:
    return {"item_id": item, "title": item, "categories": "", "known_at": BEGIN}


def _event(event_id: str, handle: str, at: datetime) -> dict[str, Any]:
    event = {"event_id": event_id, "account_id": handle, "item_id": "f-1", "event_type": "rate"}
    return event | {"occurred_at": at, "known_at": at}


def _post(event: dict[str, Any]) -> dict[str, Any]:
    """Half a minute after a whole one, so that it is never at the very moment of a rename."""
    at = BEGIN + timedelta(minutes=event["minute"], seconds=30)
    post = {"late": 0, "row_status": "staged", "load_date": AS_OF, **event}
    return post | {"occurred_at": at, "known_at": at + timedelta(minutes=post["late"])}


def _fates(warehouse: duckdb.DuckDBPyConnection, contract: str) -> dict[str, int]:
    sql = "select fate, sum(fate_rows)::int from intermediate.int_quality__row_fates where contract = $contract group by all"
    return dict(warehouse.execute(sql, {"contract": contract}).fetchall())


def _unaccounted(warehouse: duckdb.DuckDBPyConnection) -> list[Any]:
    """Loads whose staged rows are more or fewer than their fates, and what the marts have otherwise than the fates say."""
    staged = (
        "select contract, load_date, rows_staged as n from intermediate.int_quality__row_counts where rows_staged > 0"
    )
    fates = "select contract, load_date, sum(fate_rows) as n from intermediate.int_quality__row_fates group by all"
    kept = (
        "select contract, if(contract = 'events', load_date, null) as load_date, sum(fate_rows) as n"
        " from intermediate.int_quality__row_fates where is_kept group by all"
    )
    marts = "select contract, load_date, mart_rows as n from marts.core_counts"
    different = [
        f"(from ({one}) except from ({other})) union all (from ({other}) except from ({one}))"
        for one, other in ((staged, fates), (kept, marts))
    ]
    lost = "select contract, load_date, mart_rows from marts.core_counts where rows_of_persons < mart_rows"
    return [row for sql in (*different, lost) for row in warehouse.execute(sql).fetchall()]


@contextmanager
def _warehouse(*gone: tuple[str, date, str], **rows: list[dict[str, Any]]) -> Iterator[duckdb.DuckDBPyConnection]:
    """The forum's staged rows and the keys that its tables lost, every account a person, every item a product, and the models of them."""
    with closing(duckdb.connect()) as warehouse:
        warehouse.execute("set threads = 1")
        warehouse.execute(f"set variable as_of = date '{AS_OF}'")
        for schema in ("seeds", "staging", "intermediate", "marts", "identity", "loads"):
            warehouse.execute(f"create schema {schema}")
        for seed in ("event_types", "category_names"):
            content = list(csv.DictReader((DBT_PROJECT / "seeds" / f"{seed}.csv").open()))
            warehouse.register("seed", pa.Table.from_pylist(content))
            warehouse.execute(f"create table seeds.{seed} as from seed")
        warehouse.execute("alter table seeds.event_types alter weight type double")
        warehouse.execute("alter table seeds.event_types alter is_positive type boolean")
        for platform in ("forum", "shop", "stream"):
            for contract, types in TYPES.items():
                _stage(warehouse, platform, contract, types | LOAD, rows[contract] if platform == "forum" else [])
        warehouse.execute(
            "create table loads.gone_keys (platform varchar, contract varchar, load_date date, row_key varchar)"
        )
        warehouse.executemany("insert into loads.gone_keys values ('forum', ?, ?, ?)", [*gone, ("items", AS_OF, None)])
        create_tables(warehouse, *MODELS[:8])
        warehouse.execute(
            "create table identity.account_persons as select platform, account_id, 'person of ' || account_id as person_id"
            " from intermediate.int_accounts where is_active"
        )
        warehouse.execute(
            "create table identity.item_products as select platform, item_id, item_id as product_id from intermediate.int_items"
        )
        create_tables(warehouse, *MODELS[8:])
        yield warehouse


def _stage(
    warehouse: duckdb.DuckDBPyConnection, platform: str, contract: str, types: dict[str, str], rows: list[dict[str, Any]]
) -> None:  # fmt: skip
    columns = ", ".join(f"{name} {kind}" for name, kind in types.items())
    warehouse.execute(f"create table staging.stg_{platform}__{contract} (platform varchar, {columns})")
    numbers: Counter[object] = Counter()
    whole = []
    for row in rows:
        complete = {"load_date": AS_OF, "row_status": "staged", "is_deleted": False, **row}
        numbers[complete["load_date"]] += 1
        complete |= {"platform": platform, "raw_row": numbers[complete["load_date"]]}
        if complete["row_status"] == "quarantined":
            complete["reject_reason"] = "no title"
        whole.append({name: complete.get(name) for name in ("platform", *types)})
    if whole:
        content = json.dumps(whole, default=str)
        typed = json.dumps({"platform": "varchar", **types})
        warehouse.execute(
            f"insert into staging.stg_{platform}__{contract} select unnest(from_json($rows, $types), recursive := true)",
            {"rows": content, "types": f"[{typed}]"},
        )
