"""Values of the databases arrive exactly, and one that cannot be read costs its row."""

from datetime import UTC, date, datetime
from decimal import Decimal

import pytest

from infra.platforms import PlatformError, check_connection, extract_table
from infra.platforms.databases import DatabaseTable, SourceCount, Window
from infra.platforms.relation import Relation
from tests.infra.platforms.test_extract import rows

NIGHT = date(2000, 12, 15)


def table(*columns: str, watermark: str = "") -> str:
    declared = ", ".join(f"{{name: {name}}}" for name in columns)
    return f"- name: t\n  meta: {{contract: events, key: [{columns[0]}]{watermark}}}\n  columns: [{declared}]\n"


def landed(platform, lake, settings, night: date = NIGHT) -> list[dict]:
    found = rows(lake, extract_table(platform, platform.tables[0], night, lake, settings))
    return [{name: value for name, value in row.items() if name in ("id", "v", "_unreadable")} for row in found]


def test_numbers_that_no_float_holds(postgres_database, declare, lake, settings) -> None:
    postgres_database.execute("create table t (id numeric, v numeric(12, 2))")
    postgres_database.execute("insert into t values (9007199254740992, 0.10), (9007199254740993, null)")
    assert landed(declare(postgres_database.url, table("id", "v")), lake, settings) == [
        {"id": "9007199254740992", "v": Decimal("0.10"), "_unreadable": None},
        {"id": "9007199254740993", "v": None, "_unreadable": None},
    ]


def test_decimals_and_small_integers_of_mysql(mysql_database, declare, lake, settings) -> None:
    mysql_database.execute("create table t (id decimal(40,0), v tinyint(1))")
    mysql_database.execute("insert into t values (42, 1), (12345678901234567890123456789012345678, 3), (43, 5)")
    found = landed(declare(mysql_database.url, table("id", "v")), lake, settings)
    assert [(row["id"], row["v"]) for row in found] == [
        ("12345678901234567890123456789012345678", 3),
        ("42", 1),
        ("43", 5),
    ]


@pytest.mark.parametrize("zone", ["Europe/Berlin", "Asia/Tokyo"])
def test_a_timestamp_of_mysql_is_an_instant(zone, mysql_database, declare, lake, settings) -> None:
    mysql_database.execute("create table t (id int, w timestamp null, v datetime)")
    mysql_database.execute("insert into t select 1, from_unixtime(976788000), '2000-12-14 10:00:00'")
    platform = declare(mysql_database.url, table("id", "w", "v", watermark=", watermark: w"), timezone=zone)
    [row] = rows(lake, extract_table(platform, platform.tables[0], NIGHT, lake, settings))
    assert row["_known_at"] == datetime(2000, 12, 14, 10)
    assert row["w"] == datetime(2000, 12, 14, 10, tzinfo=UTC)
    assert row["v"] == datetime(2000, 12, 14, 10)


def test_a_zero_date_comes_once_and_is_named(mysql_database, declare, lake, settings) -> None:
    mysql_database.execute("create table t (id int, v datetime)")
    mysql_database.execute("insert into t values (1, '2000-12-14 10:00:00')")
    mysql_database.execute("insert ignore into t values (2, '0000-00-00 00:00:00')")
    platform = declare(mysql_database.url, table("id", "v", watermark=", watermark: v"))
    nights = [landed(platform, lake, settings, date(2000, 12, day)) for day in (15, 16, 17)]
    assert [(row["id"], row["_unreadable"]) for row in nights[0]] == [(1, None), (2, "column v holds no TIMESTAMP")]
    assert nights[1:] == [[], []]


def test_infinity_as_a_watermark_comes_once_and_is_counted(postgres_database, declare, lake, settings) -> None:
    postgres_database.execute("create table t (id int, v timestamp)")
    postgres_database.execute("insert into t values (1, '2000-12-14 10:00:00'), (2, 'infinity'), (3, '-infinity')")
    platform = declare(postgres_database.url, table("id", "v", watermark=", watermark: v"))
    first = extract_table(platform, platform.tables[0], NIGHT, lake, settings)
    assert (first.rows, first.counts.no_watermark) == (3, 2)
    assert extract_table(platform, platform.tables[0], date(2000, 12, 16), lake, settings).rows == 0


def test_one_bad_value_of_sqlite_costs_its_row(sqlite_database, declare, lake, settings) -> None:
    sqlite_database.execute("create table t (id int, v text)")
    sqlite_database.execute(
        "insert into t values (1, x'ff00aa'), (2, cast(x'636166e9' as text)), (3, 'café'), (4, '1984-05-00')"
    )
    found = landed(declare(sqlite_database.url, table("id", "v")), lake, settings)
    assert [(row["id"], row["v"], row["_unreadable"]) for row in found] == [
        ("1", None, "column v holds no text"),
        ("2", None, "column v holds no text"),
        ("3", "café", None),
        ("4", "1984-05-00", None),
    ]


def test_generated_columns_of_sqlite(sqlite_database, declare, lake, settings) -> None:
    sqlite_database.execute("create table t (id int, v int generated always as (id * 2) stored)")
    sqlite_database.execute("insert into t (id) values (21)")
    platform = declare(sqlite_database.url, table("id", "v"))
    check_connection(platform, settings)
    assert landed(platform, lake, settings) == [{"id": "21", "v": "42", "_unreadable": None}]


@pytest.mark.parametrize(("epoch", "unit"), [("976788000", "s"), ("976788000000", "ms"), ("976788000000000", "us")])
def test_epochs_as_a_watermark(epoch, unit, database, declare, lake, settings) -> None:
    database.execute("create table t (id varchar(9), v bigint)")
    database.execute(f"insert into t values ('{unit}', {epoch})")
    platform = declare(database.url, table("id", "v", watermark=", watermark: v"), timezone="Asia/Tokyo")
    check_connection(platform, settings)
    [row] = rows(lake, extract_table(platform, platform.tables[0], NIGHT, lake, settings))
    assert row["_known_at"] == datetime(2000, 12, 14, 10)
    assert extract_table(platform, platform.tables[0], date(2000, 12, 16), lake, settings).rows == 0


def test_text_of_a_latin1_database(postgres_server, declare, lake, settings) -> None:
    postgres_server.run(
        settings,
        postgres_server.first_database,
        "create database latin encoding 'LATIN1' locale 'C' template template0",
    )
    postgres_server.run(settings, "latin", "create table t (id int, v text)")
    postgres_server.run(settings, "latin", "insert into t values (1, chr(233) || 'clair')")
    assert landed(declare(postgres_server.url("latin"), table("id", "v")), lake, settings)[0]["v"] == "éclair"


def test_numbers_of_json(tmp_path, declare, lake, settings) -> None:
    (tmp_path / "blog").mkdir()
    (tmp_path / "blog" / "t.jsonl").write_text(
        '{"id": 12345678901234567890123, "v": 12.0}\n{"id": NaN, "v": 12.5}\n{"id": "12.0", "v": "NaN"}\n{"id": 7, "v": -Infinity}\n'
    )
    tables = table("id", "v").replace("key: [id]", "key: [id], path: t.jsonl")
    found = landed(declare(f"file:///{tmp_path}/blog", tables), lake, settings)
    assert [(row["id"], row["v"]) for row in found] == [
        ("12345678901234567890123", "12"),
        (None, "12.5"),
        ("12.0", "NaN"),
        ("7", None),
    ]


def test_a_column_called_like_a_key_of_a_path(tmp_path, declare, lake, settings) -> None:
    from infra.platforms import DeclarationError

    (tmp_path / "blog").mkdir()
    (tmp_path / "blog" / "t.csv").write_text("id,platform\n1,mobile\n")
    tables = table("id", "platform").replace("key: [id]", "key: [id], path: t.csv")
    with pytest.raises(DeclarationError, match=r"key of the lake's paths.*rename: source_platform"):
        declare(f"file:///{tmp_path}/blog", tables)
    platform = declare(
        f"file:///{tmp_path}/blog",
        tables.replace("{name: platform}", "{name: platform, meta: {rename: source_platform}}"),
    )
    [row] = rows(lake, extract_table(platform, platform.tables[0], NIGHT, lake, settings))
    assert row["source_platform"] == "mobile"


# --- what is there, beside what was read

KEYS = {
    "postgres": [
        "bigint",
        "numeric(8,2)",
        "text",
        "char(6)",
        "uuid",
        "boolean",
        "timestamptz",
        "date",
        "json",
        "bytea",
    ],
    "mysql": [
        "bigint",
        "decimal(8,2)",
        "varchar(20)",
        "char(6)",
        "timestamp",
        "datetime",
        "date",
        "double",
        "tinyint(1)",
    ],
    "sqlite": ["int", "text", "text collate nocase"],
    "duckdb": ["hugeint", "varchar", "uuid", "blob", "timestamp", "double"],
}
VALUES = {
    "uuid": ["00000000-0000-0000-0000-00000000000a", "ffffffff-0000-0000-0000-000000000000"],
    "boolean": ["false", "true"],
    "bytea": [r"\x00", r"\xff"],
    "json": ['{"a": 1}', '{"b": 2}'],
    "varchar": ["Zoé", "ärger", "a", "B"],
    "text": ["Zoé", "ärger", "a", "B", " a"],
} | {kind: ["2000-12-13 10:00:00", "2000-12-14 11:30:00"] for kind in ("timestamptz", "timestamp", "datetime", "date")}


@pytest.mark.parametrize(
    ("technology", "kind"), [(technology, kind) for technology, kinds in KEYS.items() for kind in kinds]
)
def test_the_range_of_any_key_is_found_among_the_rows(technology, kind, request, declare, lake, settings) -> None:
    database = request.getfixturevalue(f"{technology}_database")
    values = VALUES.get(kind.split()[0].split("(")[0], ["10", "9", "100"])
    database.execute(f"create table t (id {kind}, v int)")
    database.execute("insert into t values " + ", ".join(f"('{value}', 1)" for value in values) + ", (null, 2)")
    assert len(landed(declare(database.url, table("id", "v")), lake, settings)) == len(values) + 1


@pytest.mark.parametrize("lost", [1, 3])
def test_a_key_that_was_not_read_stops_the_load(lost, database, declare, lake, settings, monkeypatch) -> None:
    """A reader that loses the row of one end and brings another twice has the right number of rows."""
    database.execute("create table t (id int, v int)")
    database.execute("insert into t values (1, 10), (2, 20), (3, 30)")
    whole = DatabaseTable.relation

    def loses_one(self: DatabaseTable, window: Window) -> Relation:
        relation = whole(self, window)
        other = "'2'" if self.technology == "sqlite" else "2"
        query = f"select * replace (case when id::int = {lost} then {other} else id end as id) from ({relation.query})"
        return Relation(query, relation.types, relation.undeclared)

    monkeypatch.setattr(DatabaseTable, "relation", loses_one)
    end = "first" if lost == 1 else "last"
    with pytest.raises(PlatformError, match=rf"platform 'shop', table 't': other keys.*3 rows without the {end} id"):
        landed(declare(database.url, table("id", "v")), lake, settings)


def test_rows_that_change_while_they_are_read_are_no_fault(
    sqlite_database, declare, lake, settings, monkeypatch
) -> None:
    sqlite_database.execute("create table t (id int, v int)")
    sqlite_database.execute("insert into t values (1, 10), (2, 20)")
    count, counted = DatabaseTable.count, []

    def other_before(self: DatabaseTable, window: Window, next_begins: datetime) -> SourceCount:
        counted.append(count(self, window, next_begins))
        return counted[-1]._replace(ends=(("0",), ("9",))) if len(counted) == 1 else counted[-1]

    monkeypatch.setattr(DatabaseTable, "count", other_before)
    assert len(landed(declare(sqlite_database.url, table("id", "v")), lake, settings)) == 2
