"""A small shop that really is extracted and judged: two tables of a SQLite file, with a hundred orders a day."""

import sqlite3
from contextlib import closing
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import duckdb

from dags.steps.merge.check_loads import check_loads
from dags.steps.merge.extract import extract
from dags.steps.night import Night
from infra.settings import Settings

DECLARED = """
sources:
  - name: shop
    config: {meta: {connection: CROSSREC_SHOP_URL, demo: "sqlite:///{demo}/shop.sqlite", max_staleness_days: 2}}
    tables:
      - name: customers
        config: {meta: {contract: accounts, key: [customer_no], watermark: updated_at}}
        columns: [{name: customer_no}, {name: updated_at}]
      - name: orders
        config: {meta: {contract: events, key: [order_no], watermark: recorded_at}}
        columns: [{name: order_no}, {name: recorded_at}]
"""
FIRST, SECOND, THIRD, FOURTH = (date(2000, 12, day) for day in (15, 16, 17, 18))
LOST_KEYS = "update orders set order_no = null where recorded_at >= '2000-12-15' and recorded_at < '2000-12-16'"


@dataclass
class Shop:
    """The shop, and the home into which its nights load it."""

    home: Path

    def sql(self, *statements: str) -> None:
        with closing(sqlite3.connect(self.home / "demo" / "shop.sqlite")) as connection, connection:
            for statement in statements:
                connection.execute(statement)

    def night(self, as_of: date) -> Night:
        return Night(as_of, settings=Settings(home=self.home, demo=self.home / "demo"))

    def run(self, as_of: date) -> Night:
        """Extract and judge."""
        night = self.night(as_of)
        extract(night, "shop")
        check_loads(night, "shop")
        return night

    def orders(self) -> list[str | None]:
        """What good loads brought of orders, each row once."""
        files = self.night(FIRST).lake.uri("raw/platform=shop/table=orders/*/*.parquet")
        return [
            key
            for (key,) in duckdb.sql(f"select distinct order_no from read_parquet('{files}') order by all").fetchall()
        ]
