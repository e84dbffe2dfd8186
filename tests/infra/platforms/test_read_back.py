"""What a platform has of its lists, counted where its own applications read them."""

from pathlib import Path

import pytest

from infra.platforms import PlatformError, rows_there, write_back
from tests.infra.platforms.test_write_back import TABLES, TARGET, publication


def test_the_rows_in_a_database_are_counted(database, declare, settings) -> None:
    platform = declare(database.url, TABLES.replace(", path: orders.jsonl", ""), write_back=TARGET)
    database.execute("create table orders (order_no varchar(9))")
    write_back(platform, publication(14), settings)
    assert rows_there(platform, settings) == 6
    database.execute("delete from crossrec_recommendations where account_id = 'C000001'")
    assert rows_there(platform, settings) == 4


def test_the_lines_of_a_file_are_counted(tmp_path: Path, declare, settings) -> None:
    (tmp_path / "shop").mkdir()
    platform = declare(f"file://{tmp_path / 'shop'}", TABLES, write_back=TARGET)
    write_back(platform, publication(14), settings)
    assert rows_there(platform, settings) == 6
    current = tmp_path / "shop" / "recommendations" / "current.jsonl"
    current.write_text("".join(current.read_text().splitlines(keepends=True)[1:]))
    assert rows_there(platform, settings) == 5


def test_lists_that_are_gone_are_told(tmp_path: Path, declare, settings) -> None:
    (tmp_path / "shop").mkdir()
    platform = declare(f"file://{tmp_path / 'shop'}", TABLES, write_back=TARGET)
    with pytest.raises(PlatformError, match="platform 'shop'"):
        rows_there(platform, settings)


def test_a_platform_that_asks_for_no_lists_has_none_to_count(tmp_path: Path, declare, settings) -> None:
    (tmp_path / "shop").mkdir()
    with pytest.raises(ValueError, match=r"asks for no lists\. Received: no write_back\."):
        rows_there(declare(f"file://{tmp_path / 'shop'}", TABLES), settings)
