"""Rows of a load, by the footers of its files alone."""

from datetime import date
from pathlib import Path

import pyarrow.parquet as pq

from infra.lake import open_lake
from infra.platforms import extract_table, rows_in_files
from tests.infra.platforms.test_extract import ORDERS

NIGHT = date(2000, 12, 15)


def test_files_are_counted_without_their_manifest(duckdb_database, declare, settings) -> None:
    duckdb_database.execute("create table orders (order_no integer, total double, recorded_at timestamp)")
    duckdb_database.execute("insert into orders select range, 1.5, timestamp '2000-12-14' from range(7)")
    platform, lake = declare(duckdb_database.url, ORDERS), open_lake(settings)
    load = extract_table(platform, platform.tables[0], NIGHT, lake, settings)
    assert (load.rows, rows_in_files(lake, load, settings)) == (7, 7)

    [file] = load.files
    table = pq.read_table(lake.uri(file.key))
    pq.write_table(table.slice(0, 5), lake.uri(file.key))
    assert rows_in_files(lake, load, settings) == 5
    Path(lake.uri(file.key)).unlink()
    assert rows_in_files(lake, load, settings) is None
