"""Extract from each of the six technologies: what lands, what never lands, and night after night."""

import hashlib
import hmac
import io
import json
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import duckdb
import pyarrow.parquet as pq
import pytest

from infra.lake import Lake, open_lake
from infra.platforms import Manifest, Platform, extract_table, gone_keys, manifests
from infra.settings import Settings

ORDERS = """
- name: orders
  config: {meta: {contract: events, key: [order_no], watermark: recorded_at}}
  columns: [{name: order_no}, {name: total}, {name: recorded_at}]
"""
CUSTOMERS = """
- name: customers
  config: {meta: {contract: accounts, key: [customer_no], watermark: updated_at}}
  columns:
    - {name: customer_no}
    - {name: full_name, meta: {identifier: vault}}
    - {name: email, config: {meta: {identifier: token, kind: email}}}
    - {name: phone, config: {meta: {identifier: token, kind: phone}}}
    - {name: passport, config: {meta: {identifier: drop}}}
    - {name: updated_at}
"""
OURS = ("_unreadable", "_file", "_row_hash", "_row", "_known_at")
NIGHT_1, NIGHT_2, NIGHT_3 = date(2000, 12, 15), date(2000, 12, 16), date(2000, 12, 17)


def rows(lake: Lake, manifest: Manifest, zone: str = "raw") -> list[dict[str, Any]]:
    found = []
    for file in manifest.files:
        data, _ = lake.read(file.key.replace("raw/", f"{zone}/", 1))
        found += pq.read_table(io.BytesIO(data)).to_pylist()
    return found


def rows_without_hash(lake: Lake, manifest: Manifest) -> list[dict[str, Any]]:
    return [{name: value for name, value in row.items() if name != "_row_hash"} for row in rows(lake, manifest)]


def content(lake: Lake) -> dict[str, bytes]:
    return {key: lake.read(key)[0] for key in lake.list()}


def load(platform: Platform, night: date, lake: Lake, settings: Settings) -> Manifest:
    return extract_table(platform, platform.tables[0], night, lake, settings)


# --- the four databases


def test_a_night_brings_what_became_visible_before_it_and_nothing_twice(database, declare, lake, settings) -> None:
    platform = declare(database.url, ORDERS)
    database.execute(f"create table orders (order_no varchar(20), total int, recorded_at {database.time_type})")
    database.execute(
        "insert into orders values ('b', 2, '2000-12-14 23:59:59'), ('a', 1, '2000-12-01 10:00:00'),"
        " ('c', 3, '2000-12-15 00:00:00'), ('d', 4, '2000-12-16 09:00:00'), ('never', 5, null),"
        " ('later', 6, '2001-02-01 00:00:00')"
    )

    first = load(platform, NIGHT_1, lake, settings)
    second = load(platform, NIGHT_2, lake, settings)
    third = load(platform, NIGHT_3, lake, settings)

    assert [row["order_no"] for row in rows(lake, first)] == ["a", "b", "never"]
    assert [row["_row"] for row in rows(lake, first)] == [1, 2, 3]
    assert [row["_known_at"] for row in rows(lake, first)] == [
        datetime(2000, 12, 1, 10),
        datetime(2000, 12, 14, 23, 59, 59),
        datetime(2000, 12, 14, 23, 59, 59),  # without a watermark: when it was first seen
    ]
    assert [row["order_no"] for row in rows(lake, second)] == ["c"]
    assert [row["order_no"] for row in rows(lake, third)] == ["d"]
    assert [manifest.counts.no_watermark for manifest in (first, second, third)] == [1, 0, 0]
    assert {manifest.counts.in_source for manifest in (first, second, third)} == {6}
    assert (first.watermark_from, first.watermark_to) == (None, datetime(2000, 12, 15, tzinfo=UTC))
    assert (second.watermark_from, second.watermark_to) == (first.watermark_to, datetime(2000, 12, 16, tzinfo=UTC))
    assert first.newest_known_at == datetime(2000, 12, 14, 23, 59, 59, tzinfo=UTC)
    assert [*manifests(lake, "shop", "orders")] == [first, second, third]


def test_the_same_night_again_writes_the_same_bytes(database, declare, lake, settings) -> None:
    platform = declare(database.url, ORDERS)
    database.execute(f"create table orders (order_no varchar(20), total int, recorded_at {database.time_type})")
    for start in range(0, 300, 100):  # rows that differ in nothing, and rows that differ in the last column only
        values = ", ".join(f"('o{n % 40}', {n % 7}, '2000-12-1{n % 5} 10:00:00')" for n in range(start, start + 100))
        database.execute(f"insert into orders values {values}")
    load(platform, NIGHT_1, lake, settings)
    before = content(lake)
    load(platform, NIGHT_1, lake, settings)
    assert content(lake) == before
    assert len(before) == 2
    database.execute("insert into orders values ('new', 1, '2000-12-15 10:00:00')")  # of the next night
    assert load(platform, NIGHT_1, lake, settings).rows == 300


@pytest.mark.parametrize("kind", ["timestamp", "datetime", "text"])
def test_a_watermark_of_sqlite_is_text_whatever_it_was_declared(kind, sqlite_database, declare, lake, settings) -> None:
    platform = declare(sqlite_database.url, ORDERS)
    sqlite_database.execute(f"create table orders (order_no text, total int, recorded_at {kind})")
    sqlite_database.execute(
        "insert into orders values ('o1', 1, '2000-12-13 10:00:00'), ('o2', 2, '2000-12-15 10:00:00')"
    )
    assert load(platform, NIGHT_1, lake, settings).rows == 1


def test_an_empty_table_is_an_empty_load_with_its_schema(database, declare, lake, settings) -> None:
    platform = declare(database.url, ORDERS)
    database.execute(f"create table orders (order_no varchar(20), total int, recorded_at {database.time_type})")
    manifest = load(platform, NIGHT_1, lake, settings)
    assert (manifest.rows, manifest.newest_known_at) == (0, None)
    (file,) = manifest.files
    with lake.open(file.key) as stream:
        assert pq.read_schema(stream).names == ["order_no", "total", "recorded_at", *OURS]


def test_identifiers_land_as_tokens_or_in_the_vault_or_nowhere(database, declare, lake, settings) -> None:
    platform = declare(database.url, CUSTOMERS)
    database.execute(
        "create table customers (customer_no varchar(20), full_name varchar(50), email varchar(50), phone varchar(50),"
        f" passport varchar(50), updated_at {database.time_type})"
    )
    database.execute(
        "insert into customers values ('1', 'Ada Secret', ' Ada.Secret+shop@Example.com', '(02) 1234 5678', 'P123',"
        " '2000-12-01 00:00:00'), ('2', 'Ada Secret', 'adasecret@example.com', '+61 2 12345678', null,"
        " '2000-12-01 00:00:00'), ('3', null, '', null, null, '2000-12-01 00:00:00')"
    )
    manifest = load(platform, NIGHT_1, lake, settings)
    first, second, third = rows(lake, manifest)

    def token(message: str) -> str:
        return hmac.new(b"a test's key", message.encode(), hashlib.sha256).hexdigest()

    assert first["email_token"] == second["email_token"] == token("email:adasecret@example.com")
    assert first["phone_token"] == second["phone_token"] == token("phone:61212345678")
    assert (third["email_token"], third["phone_token"]) == (None, None)
    names = ["customer_no", "email_token", "phone_token", "updated_at", *OURS]
    assert [*first] == names
    vault = rows(lake, manifest, "vault")
    assert [(row["customer_no"], row["full_name"], row["_row"]) for row in vault] == [
        ("1", "Ada Secret", 1),
        ("2", "Ada Secret", 2),
        ("3", None, 3),
    ]
    assert [*vault[0]] == ["customer_no", "full_name", "_row", "_known_at"]
    for key, data in content(lake).items():
        assert b"P123" not in data
        assert b"example" not in data.lower()
        assert b"12345678" not in data
        assert key.startswith("vault/") or b"Secret" not in data
    assert not [*(settings.home / "work").iterdir()]


def test_times_without_a_zone_are_the_platforms_local_time(database, declare, lake, settings) -> None:
    platform = declare(database.url, ORDERS, timezone="America/New_York")
    database.execute(f"create table orders (order_no varchar(20), total int, recorded_at {database.time_type})")
    database.execute(
        "insert into orders values ('in', 1, '2000-12-14 18:59:59'), ('out', 2, '2000-12-14 19:00:00'),"
        " ('summer', 3, '2000-07-01 12:00:00')"
    )
    landed = {row["order_no"]: row["_known_at"] for row in rows(lake, load(platform, NIGHT_1, lake, settings))}
    assert landed == {"in": datetime(2000, 12, 14, 23, 59, 59), "summer": datetime(2000, 7, 1, 16)}


def test_a_table_without_watermark_is_compared_whole_every_night(database, declare, lake, settings) -> None:
    platform = declare(database.url, ORDERS.replace(", watermark: recorded_at", ""))
    database.execute(f"create table orders (order_no varchar(20), total int, recorded_at {database.time_type})")
    database.execute("insert into orders values ('a', 1, '2000-12-01 10:00:00'), ('b', 2, '2001-02-01 00:00:00')")
    first = load(platform, NIGHT_1, lake, settings)
    assert (first.rows, first.watermark_from, first.watermark_to) == (2, None, None)
    database.execute("update orders set total = 3 where order_no = 'a'")
    assert [row["total"] for row in rows(lake, load(platform, NIGHT_2, lake, settings))] in ([3], ["3"])
    database.execute("update orders set total = 1 where order_no = 'a'")  # as it was at first
    third = load(platform, NIGHT_3, lake, settings)
    assert [row["total"] for row in rows(lake, third)] in ([1], ["1"])
    assert (third.counts.read, third.counts.known, third.counts.gone) == (2, 1, 0)
    database.execute("delete from orders where order_no = 'b'")
    fourth = load(platform, date(2000, 12, 18), lake, settings)
    assert (fourth.rows, fourth.counts.gone) == (0, 1)
    assert load(platform, date(2000, 12, 19), lake, settings).counts.gone == 0  # counted once
    database.execute("insert into orders values ('b', 2, '2001-02-01 00:00:00')")  # as it was
    back = load(platform, date(2000, 12, 20), lake, settings)
    assert [row["order_no"] for row in rows(lake, back)] == ["b"]
    database.execute("delete from orders where order_no = 'b'")
    assert load(platform, date(2000, 12, 21), lake, settings).counts.gone == 1
    gone = gone_keys(lake, manifests(lake, "shop", "orders"), settings).to_pylist()
    assert [(row["load_date"].day, row["key"]) for row in gone] == [(18, ["b"]), (21, ["b"])]


def test_a_file_that_did_not_change_lost_no_key(tmp_path, declare, lake, settings) -> None:
    (tmp_path / "shop").mkdir()
    file = tmp_path / "shop" / "orders.csv"
    file.write_text("order_no,total,recorded_at\na,1,x\nb,2,x\n")
    table = ORDERS.replace(", watermark: recorded_at", ", path: orders.csv")
    platform = declare(f"file:///{tmp_path}/shop", table)
    assert [load(platform, night, lake, settings).counts.gone for night in (NIGHT_1, NIGHT_2)] == [0, 0]
    file.write_text("order_no,total,recorded_at\na,1,x\n")
    assert load(platform, NIGHT_3, lake, settings).counts.gone == 1
    assert load(platform, date(2000, 12, 18), lake, settings).counts.gone == 0


def test_undeclared_columns_are_counted_and_left(database, declare, lake, settings) -> None:
    platform = declare(database.url, ORDERS)
    database.execute(
        f"create table orders (order_no varchar(20), total int, recorded_at {database.time_type},"
        " coupon varchar(9), note varchar(9))"
    )
    database.execute("insert into orders values ('a', 1, '2000-12-01 10:00:00', 'x', 'y')")
    manifest = load(platform, NIGHT_1, lake, settings)
    assert manifest.undeclared_columns == 2
    assert [*rows(lake, manifest)[0]][:4] == ["order_no", "total", "recorded_at", "_unreadable"]
    assert [column.name for column in manifest.columns] == ["order_no", "total", "recorded_at"]

    database.execute("alter table orders drop column note")
    assert load(platform, NIGHT_1, lake, settings).schema_fingerprint != manifest.schema_fingerprint


def test_types_are_the_sources_own(duckdb_database, declare, lake, settings) -> None:
    platform = declare(duckdb_database.url, ORDERS)
    duckdb_database.execute("create table orders (order_no uuid, total decimal(9, 2), recorded_at timestamptz)")
    duckdb_database.execute("insert into orders values (uuid(), 12.34, '2000-12-14 23:30:00-02')")
    manifest = load(platform, NIGHT_1, lake, settings)
    assert manifest.rows == 0  # 01:30 UTC of the next day
    types = {column.name: column.type for column in manifest.columns}
    assert types == {"order_no": "UUID", "total": "DECIMAL(9,2)", "recorded_at": "TIMESTAMP WITH TIME ZONE"}


def test_sqlite_lands_text_and_reads_times_with_a_zone(sqlite_database, declare, lake, settings) -> None:
    platform = declare(sqlite_database.url, ORDERS, timezone="America/New_York")
    sqlite_database.execute("create table orders (order_no text, total real, recorded_at text)")
    sqlite_database.execute(
        "insert into orders values ('zulu', 1.5, '2000-12-14T10:00:00Z'), "
        " ('offset', 'n/a', '2000-12-14 10:00:00+02:00'), ('fraction', 2, '2000-12-14T10:00:00.250-0500'), "
        " ('day', 3, '2000-12-14'), ('broken', 4, 'yesterday')"
    )
    manifest = load(platform, NIGHT_1, lake, settings)
    assert {row["order_no"]: (row["total"], row["_known_at"]) for row in rows(lake, manifest)} == {
        "zulu": ("1.5", datetime(2000, 12, 14, 10)),
        "offset": ("n/a", datetime(2000, 12, 14, 8)),
        "fraction": ("2.0", datetime(2000, 12, 14, 15, 0, 0, 250_000)),
        "broken": ("4.0", datetime(2000, 12, 14, 23, 59, 59)),  # no time: when it was first seen
    }
    assert [column.type for column in manifest.columns] == ["TEXT", "REAL", "TEXT"]
    [day] = rows(lake, load(platform, NIGHT_2, lake, settings))
    assert day["_known_at"] == datetime(2000, 12, 15, 4, 59, 59, 999_999)  # the end of that day in New York


def test_dropped_columns_are_never_read(duckdb_database, declare, lake, settings) -> None:
    platform = declare(duckdb_database.url, CUSTOMERS)
    duckdb_database.execute(
        "create view customers as select '1' as customer_no, 'A' as full_name, null::varchar as email,"
        " null::varchar as phone, error('read!') as passport, timestamp '2000-12-01 00:00:00' as updated_at"
    )
    assert load(platform, NIGHT_1, lake, settings).rows == 1


def test_a_rerun_heals_what_a_killed_run_left(duckdb_database, declare, lake, settings) -> None:
    platform = declare(duckdb_database.url, ORDERS)
    duckdb_database.execute(
        "create table orders as select 'a' as order_no, 1 as total, timestamp '2000-12-01' as recorded_at"
    )
    load(platform, NIGHT_1, lake, settings)
    before = content(lake)
    partition = "raw/platform=shop/table=orders/load_date=2000-12-15"
    lake.put(f"{partition}/part-00007.parquet", b"of a run with more rows")
    lake.delete(f"{partition}/_manifest.json")
    left = settings.home / "work" / "shop.orders.2000-12-15"
    left.mkdir(parents=True)
    (left / "raw").write_text("half")
    load(platform, NIGHT_1, lake, settings)
    assert content(lake) == before
    assert not left.exists()


def test_large_loads_come_in_parts(duckdb_database, declare, lake, settings, monkeypatch) -> None:
    monkeypatch.setattr("infra.platforms.load_files.ROWS_PER_PART", 1000)
    platform = declare(duckdb_database.url, ORDERS)
    duckdb_database.execute(
        "create table orders as select lpad(range::varchar, 5, '0') as order_no, 1 as total,"
        " timestamp '2000-12-01' as recorded_at from range(2500) order by hash(range)"
    )
    manifest = load(platform, NIGHT_1, lake, settings)
    assert [(Path(file.key).name, file.rows) for file in manifest.files] == [
        ("part-00000.parquet", 1000),
        ("part-00001.parquet", 1000),
        ("part-00002.parquet", 500),
    ]
    landed = rows(lake, manifest)
    assert [row["_row"] for row in landed] == [*range(1, 2501)]
    assert [row["order_no"] for row in landed] == [f"{number:05}" for number in range(2500)]
    for file in manifest.files:
        assert hashlib.sha256(lake.read(file.key)[0]).hexdigest() == file.sha256


# --- files

POSTS = """
- name: posts
  config: {meta: {contract: events, key: [post], path: "posts/posts-{date}.FORMAT"}}
  columns: [{name: post}, {name: stars}, {name: tags}]
"""


def test_json_lines_land_as_text_in_their_order_and_broken_lines_are_kept(tmp_path, declare, lake, settings) -> None:
    platform = declare(f"file:///{tmp_path}/forum", POSTS.replace("FORMAT", "jsonl"))
    posts = tmp_path / "forum" / "posts"
    posts.mkdir(parents=True)
    (posts / "posts-2000-12-13.jsonl").write_text(
        '\ufeff{"post": "z", "stars": 5, "tags": ["a", "b"], "mood": "good"}\r\n\n'
        '{"post": "y", "stars": null, "tags": []}\n'
    )
    (posts / "posts-2000-12-14.jsonl").write_bytes(
        b'{"post": "x", "stars": 4.5, "tags": null}\n{"post": "w", "sta\n[1, 2]\n{"post": "v", "stars": "\xff"}\n"last"'
    )
    (posts / "posts-2000-12-15.jsonl").write_text('{"post": "u", "stars": 1, "tags": "t\\u00e9"}')
    (posts / "readme.txt").write_text("not a post")

    manifest = load(platform, NIGHT_1, lake, settings)
    end_13, end_14 = datetime(2000, 12, 13, 23, 59, 59, 999_999), datetime(2000, 12, 14, 23, 59, 59, 999_999)
    assert [[*row.values()] for row in rows_without_hash(lake, manifest)] == [
        ["z", "5", '["a","b"]', None, "posts/posts-2000-12-13.jsonl", 1, end_13],
        ["y", None, "[]", None, "posts/posts-2000-12-13.jsonl", 2, end_13],
        ["x", "4.5", None, None, "posts/posts-2000-12-14.jsonl", 3, end_14],
        [None, None, None, "no JSON object", "posts/posts-2000-12-14.jsonl", 4, end_14],
        [None, None, None, "no JSON object", "posts/posts-2000-12-14.jsonl", 5, end_14],
        [None, None, None, "bytes that are no text in the file's encoding", "posts/posts-2000-12-14.jsonl", 6, end_14],
        [None, None, None, "no JSON object", "posts/posts-2000-12-14.jsonl", 7, end_14],
    ]
    assert [(file.lines, file.records, file.unreadable) for file in manifest.source_files] == [(2, 2, 0), (5, 5, 4)]
    assert manifest.undeclared_columns == 1
    second = rows(lake, load(platform, NIGHT_2, lake, settings))
    assert [(row["post"], row["tags"]) for row in second] == [("u", "té")]
    before = content(lake)
    load(platform, NIGHT_1, lake, settings)
    load(platform, NIGHT_2, lake, settings)
    assert content(lake) == before


def test_nothing_of_a_broken_line_is_kept(tmp_path, declare, lake, settings) -> None:
    platform = declare(f"file:///{tmp_path}/forum", POSTS.replace("FORMAT", "jsonl"))
    (tmp_path / "forum" / "posts").mkdir(parents=True)
    line = '{"post": "ada@secret.example", "ada@secret.example": 1'
    (tmp_path / "forum" / "posts" / "posts-2000-12-14.jsonl").write_text(line)
    (row,) = rows(lake, load(platform, NIGHT_1, lake, settings))
    assert (row["post"], row["_unreadable"]) == (None, "no JSON object")
    assert not any(b"secret" in data for data in content(lake).values())


def test_csv_lands_as_text_and_records_that_do_not_fit_are_kept(tmp_path, declare, lake, settings) -> None:
    platform = declare(f"file:///{tmp_path}/forum", POSTS.replace("FORMAT", "csv"))
    posts = tmp_path / "forum" / "posts"
    posts.mkdir(parents=True)
    (posts / "posts-2000-12-13.csv").write_bytes(
        b'\xef\xbb\xbfpost,stars,tags\r\nz,05,"a, ""b"""\r\ny,,"two\r\nlines"\r\nx,1\r\nw,1,2,3,4\r\n'
    )
    (posts / "posts-2000-12-14.csv").write_text("tags,mood,post,stars\nt,good,v,3\n")
    (posts / "posts-2000-12-12.csv").write_text("")
    manifest = load(platform, NIGHT_1, lake, settings)
    end_13, end_14 = datetime(2000, 12, 13, 23, 59, 59, 999_999), datetime(2000, 12, 14, 23, 59, 59, 999_999)
    assert [[*row.values()] for row in rows_without_hash(lake, manifest)] == [
        ["z", "05", 'a, "b"', None, "posts/posts-2000-12-13.csv", 1, end_13],
        ["y", None, "two\nlines", None, "posts/posts-2000-12-13.csv", 2, end_13],
        [None, None, None, "2 fields, where the header has 3", "posts/posts-2000-12-13.csv", 3, end_13],
        [None, None, None, "5 fields, where the header has 3", "posts/posts-2000-12-13.csv", 4, end_13],
        ["v", "3", "t", None, "posts/posts-2000-12-14.csv", 5, end_14],
    ]
    assert manifest.undeclared_columns == 1
    assert load(platform, NIGHT_2, lake, settings).rows == 0


def test_parquet_files_keep_their_types(tmp_path, declare, lake, settings) -> None:
    platform = declare(f"file:///{tmp_path}/forum", POSTS.replace("FORMAT", "parquet"))
    posts = tmp_path / "forum" / "posts"
    posts.mkdir(parents=True)
    for day, post in [("2000-12-13", 1), ("2000-12-14", 2), ("2000-12-15", 3)]:
        duckdb.sql(f"select {post} as post, 4.5 as stars, ['a'] as tags").write_parquet(
            str(posts / f"posts-{day}.parquet")
        )
    manifest = load(platform, NIGHT_1, lake, settings)
    landed = rows(lake, manifest)
    assert [(row["post"], row["tags"], row["_known_at"]) for row in landed] == [
        (1, ["a"], datetime(2000, 12, 13, 23, 59, 59, 999_999)),
        (2, ["a"], datetime(2000, 12, 14, 23, 59, 59, 999_999)),
    ]
    assert load(platform, NIGHT_2, lake, settings).rows == 1
    empty = load(platform, NIGHT_3, lake, settings)
    assert empty.rows == 0
    assert empty.columns == manifest.columns


def test_a_night_before_the_first_file_is_an_empty_load(tmp_path, declare, lake, settings) -> None:
    for suffix, text in [("jsonl", '{"post": 1, "stars": 2, "tags": 3}'), ("csv", "post,stars,tags\n1,2,3\n")]:
        platform = declare(f"file:///{tmp_path}/forum", POSTS.replace("FORMAT", suffix))
        posts = tmp_path / "forum" / "posts"
        posts.mkdir(parents=True, exist_ok=True)
        (posts / f"posts-2000-12-20.{suffix}").write_text(text)
        assert load(platform, NIGHT_1, lake, settings).rows == 0


def test_files_may_have_a_watermark_column_instead_of_a_dated_name(tmp_path, declare, lake, settings) -> None:
    tables = ORDERS.replace("watermark", "path: orders.jsonl, watermark")
    platform = declare(f"file:///{tmp_path}/forum", tables, timezone="Asia/Tokyo")
    (tmp_path / "forum").mkdir()
    lines = [{"order_no": n, "total": 1, "recorded_at": f"2000-12-15 0{n}:00:00"} for n in (8, 9)]
    (tmp_path / "forum" / "orders.jsonl").write_text("\n".join(json.dumps(line) for line in lines))
    assert [row["order_no"] for row in rows(lake, load(platform, NIGHT_1, lake, settings))] == ["8"]
    assert [row["order_no"] for row in rows(lake, load(platform, NIGHT_2, lake, settings))] == ["9"]


@pytest.mark.parametrize("suffix", ["jsonl", "csv", "parquet"])
def test_files_on_s3_and_a_lake_on_s3(suffix, declare, s3_settings) -> None:
    lake = open_lake(s3_settings)
    source = open_lake(s3_settings, s3_settings.lake.replace("some/prefix", "forum"))
    data = {"jsonl": b'{"post": "a", "stars": "1", "tags": "t"}\n', "csv": b"post,stars,tags\na,1,t\n"}
    if suffix == "parquet":
        path = Path(s3_settings.home.parent) / "a.parquet"
        duckdb.sql("select 'a' as post, '1' as stars, 't' as tags").write_parquet(str(path))
        source.put("posts/posts-2000-12-14.parquet", path)
    else:
        source.put(f"posts/posts-2000-12-14.{suffix}", data[suffix])
    platform = declare(source.uri(), POSTS.replace("FORMAT", suffix))
    manifest = load(platform, NIGHT_1, lake, s3_settings)
    assert [[*row.values()][:4] for row in rows(lake, manifest)] == [["a", "1", "t", None]]
    before = content(lake)
    load(platform, NIGHT_1, lake, s3_settings)
    assert content(lake) == before
    assert load(platform, NIGHT_2, lake, s3_settings).rows == 0
