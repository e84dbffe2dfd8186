"""What linkage may know of people: as it stood that night, and without a word of it where it cannot be read."""

from collections.abc import Callable
from datetime import UTC, date, datetime
from io import BytesIO
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from infra.lake import Lake
from infra.platforms import Platform
from infra.platforms.extract import extract_table
from infra.platforms.vault import VaultError, vault_records
from infra.settings import Settings
from tests.infra.conftest import Declare

CUSTOMERS = """
- name: customers
  config: {meta: {contract: accounts, key: [customer_no], watermark: updated_at}}
  columns:
    - name: customer_no
    - {name: last_name, config: {meta: {identifier: vault, kind: surname}}}
    - {name: born, config: {meta: {identifier: vault, kind: birth_date}}}
    - {name: passport, config: {meta: {identifier: vault}}}
    - name: updated_at
"""
NIGHT = date(2000, 12, 16)
COLUMNS = [
    "platform",
    "id",
    "given_name",
    "surname",
    "full_name",
    "birth_date",
    "street",
    "suburb",
    "postcode",
    "state",
]
Land = Callable[..., Path]


@pytest.fixture
def shop(declare: Declare) -> Platform:
    return declare("sqlite:////nowhere", CUSTOMERS)


@pytest.fixture
def land(lake: Lake) -> Land:
    """``land(night, {'customer_no': [...], ...})``: a load of the vault as extract leaves it, known at that night's noon."""

    def land(night: date, columns: dict[str, list[object]], part: int = 0, hour: int = 12) -> Path:
        rows = len(columns["_row"] if "_row" in columns else next(iter(columns.values())))
        known_at = datetime(night.year, night.month, night.day - 1, hour)
        defaults = {"_row": [*range(1, rows + 1)], "_known_at": [known_at] * rows}
        buffer = BytesIO()
        pq.write_table(pa.table({**defaults, **columns}), buffer)
        key = f"vault/platform=shop/table=customers/load_date={night}/part-{part:05}.parquet"
        lake.put(key, buffer.getvalue())
        return Path(lake.uri(key))

    return land


def surnames(lake: Lake, platform: Platform, night: date = NIGHT) -> dict[str, str]:
    found = vault_records(lake, [platform], night)
    assert found.column_names == COLUMNS
    assert {*found.schema.types} == {pa.string()}
    assert {*found["platform"].to_pylist()} <= {"shop"}
    return dict(zip(found["id"].to_pylist(), found["surname"].to_pylist(), strict=True))


def test_extract_leaves_what_this_reads(tmp_path: Path, declare: Declare, lake: Lake, settings: Settings) -> None:
    import duckdb

    with duckdb.connect(str(tmp_path / "shop.duckdb")) as connection:
        connection.execute(
            "create table customers as select 7 as customer_no, 'Lee' as last_name, date '1970-02-01' as born,"
            " 'X1' as passport, timestamp '2000-12-15 12:00' as updated_at"
        )
    platform = declare(f"duckdb:///{tmp_path}/shop.duckdb", CUSTOMERS)
    extract_table(platform, platform.table("customers"), NIGHT, lake, settings)
    [row] = vault_records(lake, [platform], NIGHT).to_pylist()
    assert {name: value for name, value in row.items() if value is not None} == {
        "platform": "shop",
        "id": "7",
        "surname": "Lee",
        "birth_date": "1970-02-01",
    }


def test_birth_dates_that_are_month_first(tmp_path: Path, declare: Declare, lake: Lake, settings: Settings) -> None:
    import duckdb

    with duckdb.connect(str(tmp_path / "shop.duckdb")) as connection:
        connection.execute(
            "create table customers as select unnest(['1', '2', '3']) as customer_no, 'Lee' as last_name, 'X' as passport,"
            " unnest(['03/04/1984', '12/31/1984', '1984-03-04']) as born, timestamp '2000-12-14 12:00' as updated_at"
        )
    platform = declare(f"duckdb:///{tmp_path}/shop.duckdb", CUSTOMERS, date_order="mdy")
    extract_table(platform, platform.table("customers"), NIGHT, lake, settings)
    assert vault_records(lake, [platform], NIGHT)["birth_date"].to_pylist() == [
        "1984-03-04",
        "1984-12-31",
        "1984-03-04",
    ]


def test_the_newest_that_was_known_that_night_counts(lake: Lake, shop: Platform, land: Land) -> None:
    land(date(2000, 12, 15), {"customer_no": ["1", "2"], "last_name": ["Lee", "Kim"]})
    land(date(2000, 12, 16), {"customer_no": ["1", "3"], "last_name": ["Lee-Park", "Ito"]})
    land(date(2000, 12, 17), {"customer_no": ["2"], "last_name": ["Kimball"]})
    assert surnames(lake, shop, date(2000, 12, 14)) == {}
    assert surnames(lake, shop, date(2000, 12, 15)) == {"1": "Lee", "2": "Kim"}
    assert surnames(lake, shop, date(2000, 12, 16)) == {"1": "Lee-Park", "2": "Kim", "3": "Ito"}
    assert surnames(lake, shop, date(2000, 12, 17)) == {"1": "Lee-Park", "2": "Kimball", "3": "Ito"}


def test_when_it_was_known_decides_and_not_in_which_load_it_came(lake: Lake, shop: Platform, land: Land) -> None:
    land(date(2000, 12, 15), {"customer_no": ["1"], "last_name": ["newer"]}, hour=13)
    land(date(2000, 12, 16), {"customer_no": ["1"], "last_name": ["older"], "_known_at": [datetime(2000, 12, 14, 8)]})
    assert surnames(lake, shop) == {"1": "newer"}


def test_of_two_rows_of_one_moment_the_last_counts_in_whichever_file(lake: Lake, shop: Platform, land: Land) -> None:
    land(NIGHT, {"customer_no": ["1", "1"], "last_name": ["third", "second"], "_row": [3, 2]})
    land(NIGHT, {"customer_no": ["1"], "last_name": ["first"], "_row": [1]}, part=1)
    assert surnames(lake, shop) == {"1": "third"}


def test_what_was_taken_back_is_not_known_any_more(lake: Lake, shop: Platform, land: Land) -> None:
    land(date(2000, 12, 15), {"customer_no": ["1"], "last_name": ["Lee"]})
    land(date(2000, 12, 16), {"customer_no": ["1"], "last_name": [None]})
    assert surnames(lake, shop) == {"1": None}


def test_a_row_without_a_key_is_nobody(lake: Lake, shop: Platform, land: Land) -> None:
    land(NIGHT, {"customer_no": [None, "1"], "last_name": ["Lee", "Kim"]})
    assert surnames(lake, shop) == {"1": "Kim"}


def test_a_column_that_only_some_loads_have_is_null_in_the_others(lake: Lake, shop: Platform, land: Land) -> None:
    """Declared later, or a night from before is run again."""
    land(date(2000, 12, 15), {"customer_no": ["1"]})
    assert surnames(lake, shop, date(2000, 12, 15)) == {"1": None}
    land(date(2000, 12, 16), {"customer_no": ["2"], "last_name": ["Kim"]})
    assert surnames(lake, shop) == {"1": None, "2": "Kim"}


def test_a_key_under_another_name_is_another_key(lake: Lake, shop: Platform, land: Land) -> None:
    """Until the platform is loaded under the new name, its accounts have said nothing."""
    land(date(2000, 12, 15), {"id": ["1"], "last_name": ["Lee"]})
    assert surnames(lake, shop) == {}
    land(date(2000, 12, 16), {"customer_no": ["1"], "last_name": ["Lee"]})
    assert surnames(lake, shop) == {"1": "Lee"}


def test_types_may_change_from_load_to_load(lake: Lake, shop: Platform, land: Land) -> None:
    land(date(2000, 12, 15), {"customer_no": [1], "born": [date(1970, 2, 1)]})
    land(date(2000, 12, 16), {"customer_no": ["2"], "born": ["02/01/1970"]})
    found = vault_records(lake, [shop], NIGHT)
    assert found.select(["id", "birth_date"]).to_pylist() == [
        {"id": "1", "birth_date": "1970-02-01"},
        {"id": "2", "birth_date": "02/01/1970"},
    ]


@pytest.mark.parametrize(
    ("zone", "born", "day"),
    [
        ("Australia/Sydney", datetime(1970, 4, 30, 14, tzinfo=UTC), "1970-05-01 00:00:00.000000"),
        ("America/New_York", datetime(1970, 5, 1, 4, tzinfo=UTC), "1970-05-01 00:00:00.000000"),
        ("UTC", datetime(1970, 5, 1, tzinfo=UTC), "1970-05-01 00:00:00.000000"),
        ("Australia/Sydney", datetime(1970, 5, 1), "1970-05-01 00:00:00.000000"),
        ("Australia/Sydney", date(1970, 5, 1), "1970-05-01"),
    ],
)
def test_a_birth_date_is_the_day_that_the_platform_saw_whatever_its_type(
    zone: str, born: date, day: str, lake: Lake, declare: Declare, land: Land
) -> None:
    land(NIGHT, {"customer_no": ["1", "2"], "born": [born, None]})
    found = vault_records(lake, [declare("sqlite:////nowhere", CUSTOMERS, timezone=zone)], NIGHT)
    assert found["birth_date"].to_pylist() == [day, None]


def test_of_a_key_of_several_columns_the_first_is_the_account(lake: Lake, declare: Declare, land: Land) -> None:
    log = declare("sqlite:////nowhere", CUSTOMERS.replace("[customer_no]", "[customer_no, updated_at]"))
    land(NIGHT, {"customer_no": ["1", "1"], "updated_at": ["a", "b"], "last_name": ["Lee", "Park"]})
    assert surnames(lake, log) == {"1": "Park"}


def test_a_platform_without_anything_in_the_vault_has_no_records(lake: Lake, declare: Declare, land: Land) -> None:
    """Nor one whose vaulted columns tell linkage nothing, or are not those of accounts."""
    land(NIGHT, {"customer_no": ["1"], "last_name": ["Lee"]})
    plain = CUSTOMERS.replace(", kind: surname", "").replace(", kind: birth_date", "")
    assert surnames(lake, declare("sqlite:////nowhere", plain)) == {}
    assert surnames(lake, declare("sqlite:////nowhere", CUSTOMERS.replace("accounts", "none"))) == {}
    assert vault_records(lake, [], NIGHT).column_names == COLUMNS


def damaged(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-20] + b"Lee, 1 February 1970")


def unreadable(file: Path) -> None:
    file.unlink()
    file.mkdir()  # root may read anything else
    (file / "part.parquet").symlink_to(file / "nowhere")


@pytest.mark.parametrize("broken", [damaged, unreadable])
def test_what_cannot_be_read_is_an_error_that_quotes_nothing(
    broken: Callable[[Path], None], lake: Lake, shop: Platform, land: Land
) -> None:
    land(date(2000, 12, 15), {"customer_no": ["1"], "last_name": ["Lee"]})
    broken(land(NIGHT, {"customer_no": ["2"], "last_name": ["Lee"]}))
    assert surnames(lake, shop, date(2000, 12, 15)) == {"1": "Lee"}  # the night before does not read it
    with pytest.raises(VaultError) as error:
        vault_records(lake, [shop], NIGHT)
    assert "platform 'shop', table 'customers' cannot be read" in str(error.value)
    assert "Remedy: " in str(error.value)
    assert error.value.__cause__ is None
    assert error.value.__suppress_context__
    assert "Lee" not in str(error.value)
    assert "1970" not in str(error.value)
