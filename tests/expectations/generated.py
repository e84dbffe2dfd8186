"""Three platforms by formula, night after night: what the gate `contents` is tried on.

Rows have the columns of the contracts, as a platform's mapping gives them. They go through the real macros of staging and the
real SQL of the profiles, in a DuckDB in memory.
"""

from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa

from tests.compiled import compiled, compiled_text, create_views

FIRST_NIGHT = date(2001, 3, 1)
PROFILES = ("int_quality__event_profiles", "int_quality__account_profiles", "int_quality__item_profiles")
WEEK = np.array([1.0, 0.95, 0.9, 1.0, 1.15, 1.5, 1.35])
HOURS = np.array([2, 1, 1, 1, 1, 2, 3, 5, 6, 6, 6, 7, 8, 7, 6, 6, 7, 9, 12, 15, 16, 14, 9, 5], dtype=float)
CATEGORIES = np.array([f"kind {number}" for number in range(15)])
TYPES, TYPE_SHARES = np.array(["view", "click", "purchase", "rate"]), np.array([0.4, 0.2, 0.1, 0.3])
STARS = np.array([0.2, 0.4, 0.6, 0.8, 1.0])
AGES = np.array(["18-24", "25-34", "35-44", "45-55", "56+", None], dtype=object)
Tables = dict[str, pd.DataFrame]  # by contract


@dataclass(frozen=True)
class Shape:
    """``events`` in a mean night, and what happens to it: ``growth`` a day, and a factor on some nights."""

    events: int
    growth: float = 0.003
    days_before: int = 60
    nights: int = 30
    factors: tuple[tuple[int, float], ...] = ()  # (nth night, counted from 0; factor)


class Generated:
    """A platform: its accounts, items and all events, and the load of each night."""

    def __init__(self, name: str, shape: Shape, seed: int) -> None:
        self.name, self.shape = name, shape
        self.random = np.random.default_rng([seed, *name.encode()])
        self.begin = FIRST_NIGHT - timedelta(shape.days_before)
        days = shape.days_before + shape.nights
        self.accounts = self._accounts(max(60, shape.events * 2), days)
        self.items = self._items(max(80, min(1500, shape.events)), days)
        self.events = self._events(days)

    @property
    def nights(self) -> list[date]:
        return [FIRST_NIGHT + timedelta(number) for number in range(self.shape.nights)]

    def known(self, contract: str, until: date) -> pd.DataFrame:
        """All rows of loads before that of ``until``, with the date of their load. The first one brings all that came before."""
        rows: pd.DataFrame = getattr(self, contract)
        rows = rows[rows["known_at"] < pd.Timestamp(until) - pd.Timedelta(days=1)]
        nights = rows["known_at"].dt.normalize() + pd.Timedelta(days=1)
        return rows.assign(load_date=nights.clip(lower=pd.Timestamp(FIRST_NIGHT)).dt.date)

    def load(self, night: date) -> Tables:
        """What one night after the first brings."""
        since, until = pd.Timestamp(night) - pd.Timedelta(days=1), pd.Timestamp(night)
        tables = {contract: getattr(self, contract) for contract in ("accounts", "items", "events")}
        return {
            contract: rows[(rows["known_at"] >= since) & (rows["known_at"] < until)].reset_index(drop=True)
            for contract, rows in tables.items()
        }

    def _times(self, first: int, last: int, size: int) -> Any:
        days = self.random.integers(first, last, size)
        return np.datetime64(self.begin, "s") + (days * 86_400 + self._seconds(size)).astype("timedelta64[s]")

    def _seconds(self, size: int) -> Any:
        return self.random.choice(24, size, p=HOURS / HOURS.sum()) * 3600 + self.random.integers(0, 3600, size)

    def _accounts(self, count: int, days: int) -> pd.DataFrame:
        """Some sign up each day; some change each day, and a few of these are deleted."""
        random, joining = self.random, max(1, count // 100)
        created = np.concatenate([self._times(-400, 0, count), *(self._times(d, d + 1, joining) for d in range(days))])
        total = len(created)
        ids = np.array([f"u{number:06d}" for number in range(total)])
        base = pd.DataFrame(
            {
                "account_id": ids,
                "formerly_account_id": None,
                "email_token": [None if gap else f"e{number}" for number, gap in enumerate(random.random(total) < 0.1)],
                "phone_token": [None if gap else f"p{number}" for number, gap in enumerate(random.random(total) < 0.5)],
                "device_token": None,
                "loyalty_token": None,
                "age_band": random.choice(AGES, total, p=[0.2, 0.3, 0.2, 0.1, 0.1, 0.1]),
                "gender": random.choice(np.array(["F", "M", None], dtype=object), total, p=[0.5, 0.4, 0.1]),
                "created_at": created,
                "is_deleted": False,
                "known_at": created,
            }
        )
        changes = []
        for day in range(days):
            there = np.flatnonzero(created < np.datetime64(self.begin + timedelta(day)))
            some = base.iloc[random.choice(there, max(2, count // 60), replace=False)].copy()
            some["known_at"] = self._times(day, day + 1, len(some))
            some["is_deleted"] = random.random(len(some)) < 0.03
            some["age_band"] = np.where(random.random(len(some)) < 0.3, "35-44", some["age_band"])
            changes.append(some)
        self.taste = random.integers(0, len(CATEGORIES), (total, 3))
        self.activity = random.pareto(1.6, total) + 0.2
        self.created = created
        return pd.concat([base, *changes], ignore_index=True)

    def _items(self, count: int, days: int) -> pd.DataFrame:
        random, joining = self.random, max(1, count // 300)
        created = np.concatenate([self._times(-400, 0, count), *(self._times(d, d + 1, joining) for d in range(days))])
        total = len(created)
        self.item_category = random.integers(0, len(CATEGORIES), total)
        self.popularity = random.pareto(1.2, total) + 0.1
        self.item_created = created
        self.quality = random.normal(0, 1, total)
        words = np.array(
            [
                f"{first}{second}"
                for first in ("Red", "Old", "New", "Tall", "Last")
                for second in ("stone", "river", "night")
            ]
        )
        base = pd.DataFrame(
            {
                "item_id": [f"i-{number:05d}" for number in range(total)],
                "title": [
                    f"{one} {two} {number}" for number, (one, two) in enumerate(random.choice(words, (total, 2)))
                ],
                "release_year": random.integers(1960, 2001, total),
                "creator": None,
                "gtin": None,
                "isbn": None,
                "imdb_id": None,
                "categories": CATEGORIES[self.item_category],
                "price": np.round(np.exp(random.normal(2.5, 0.5, total)), 2),
                "is_available": True,
                "created_at": created,
                "known_at": created,
            }
        )
        changes = []
        for day in range(days):
            there = np.flatnonzero(created < np.datetime64(self.begin + timedelta(day)))
            some = base.iloc[random.choice(there, max(3, count // 20), replace=False)].copy()
            some["known_at"] = self._times(day, day + 1, len(some))
            some["price"] = np.round(some["price"] * random.choice([0.9, 1.0, 1.1], len(some)), 2)
            some["is_available"] = random.random(len(some)) > 0.1
            changes.append(some)
        return pd.concat([base, *changes], ignore_index=True)

    def _events(self, days: int) -> pd.DataFrame:
        """Visits of one to several events, in categories that the account likes, most of them in the evening."""
        random, shape, parts, item_of = self.random, self.shape, [], {}
        for category in range(len(CATEGORIES)):
            members = np.flatnonzero(self.item_category == category)
            item_of[category] = members if len(members) else np.arange(len(self.item_category))
        factors = {shape.days_before + night: factor for night, factor in shape.factors}
        for day in range(days):
            at = self.begin + timedelta(day)
            level = shape.events / 2 * WEEK[at.weekday()] / WEEK.mean() * (1 + shape.growth) ** day
            # what the night of FIRST_NIGHT + n brings happened the day before
            visits = random.poisson(level * float(np.exp(random.normal(0, 0.06))) * factors.get(day + 1, 1.0))
            there = np.flatnonzero(self.created < np.datetime64(at))
            accounts = random.choice(there, visits, p=self.activity[there] / self.activity[there].sum())
            starts = self._seconds(visits)
            length = random.geometric(0.5, visits)
            account, start = np.repeat(accounts, length), np.repeat(starts, length)
            likes = np.where(
                random.random(len(account)) < 0.8,
                self.taste[account, random.integers(0, 3, len(account))],
                random.integers(0, len(CATEGORIES), len(account)),
            )
            item = np.empty(len(account), dtype=np.int64)
            for category, members in item_of.items():
                old = members[self.item_created[members] < np.datetime64(at)]
                wanted = likes == category
                weight = self.popularity[old]
                item[wanted] = random.choice(old, wanted.sum(), p=weight / weight.sum())
            seconds = np.minimum(86_395, start + random.integers(0, 900, len(account)))
            occurred = np.datetime64(at, "s") + seconds.astype("timedelta64[s]")
            kind = random.choice(TYPES, len(account), p=TYPE_SHARES)
            # people agree on what is good, by and large
            liking = self.quality[item] + random.normal(0, 0.7, len(account))
            stars = STARS[np.digitize(liking, [-2.3, -1.6, -0.7, 0.5])]
            delay = np.minimum(np.exp(random.normal(3, 1, len(account))), 86_399 - seconds).astype("timedelta64[s]")
            parts.append(
                pd.DataFrame(
                    {
                        "account": account,
                        "item": item,
                        "event_type": kind,
                        "occurred_at": occurred,
                        "value": np.where(kind == "rate", stars, np.nan),
                        "device": random.choice(
                            np.array(["mobile", "desktop", None], dtype=object), len(account), p=[0.6, 0.3, 0.1]
                        ),
                        "known_at": occurred + delay,
                    }
                )
            )
        events = pd.concat(parts, ignore_index=True)
        number = np.arange(len(events))
        events.insert(0, "event_id", np.char.add(f"{self.name[0]}", number.astype(str)).astype(object))
        events.insert(
            1,
            "account_id",
            np.array([f"u{n:06d}" for n in range(len(self.created))], dtype=object)[events.pop("account")],
        )
        events.insert(
            2,
            "item_id",
            np.array([f"i-{n:05d}" for n in range(len(self.item_created))], dtype=object)[events.pop("item")],
        )
        return events


TYPED = {
    "accounts": {"created_at": "timestamp", "is_deleted": "boolean"},
    "items": {"release_year": "integer", "price": "double", "is_available": "boolean", "created_at": "timestamp"},
    "events": {"occurred_at": "timestamp", "value": "double"},
}


class Warehouse:
    """Staging tables and profiles of the three platforms that macros have by default."""

    def __init__(self, platforms: dict[str, Generated], until: date) -> None:
        self.connection = duckdb.connect(config={"threads": 2})
        self.connection.execute("create schema staging; create schema intermediate; create schema seeds")
        self.connection.execute(
            "create table seeds.event_types as select * from (values ('view'), ('click'), ('purchase'), ('rate'), ('watch'),"
            " ('like'), ('skip'), ('impression')) as types (event_type)"
        )
        self.platforms = platforms
        for name, platform in platforms.items():
            for contract in ("accounts", "items", "events"):
                self._stage(name, contract, platform.known(contract, until), first=True)
        self.as_of(until - timedelta(1))
        for model in PROFILES:
            self.connection.execute(f"create table intermediate.{model} as {compiled(model)}")
        create_views(self.connection, "int_quality__load_profiles")

    def as_of(self, night: date) -> None:
        self.connection.execute("set variable as_of = $night", {"night": night})

    def land(self, platform: str, night: date, load: Tables) -> None:
        """Stage one load."""
        for contract, rows in load.items():
            self._stage(platform, contract, rows.assign(load_date=night), first=False)

    def _stage(self, platform: str, contract: str, rows: pd.DataFrame, *, first: bool) -> None:
        """Stage rows by the macros of staging."""
        target = f"staging.stg_{platform}__{contract}"
        types = {"known_at": "timestamp", "load_date": "date"} | TYPED[contract]
        columns = ", ".join(f"cast({name} as {types.get(name, 'varchar')}) as {name}" for name in rows.columns)
        self.connection.register("given", pa.Table.from_pandas(rows, preserve_index=False))
        self.connection.execute(
            f"create or replace temp table mapped as select '{platform}' as platform, {columns},"
            " cast(row_number() over () as bigint) as raw_row, cast(null as varchar) as unreadable from given"
        )
        text = "with mapped as (from temp.mapped), {{ classify_" + contract + "('mapped') }}"
        sql = compiled_text(text, adding_to=None if first else target)
        self.connection.execute(f"create table {target} as {sql}" if first else f"insert into {target} by name {sql}")

    def profile(self, night: date) -> None:
        """Profile one night's load, as the incremental models do."""
        self.as_of(night)
        for model in PROFILES:
            self.connection.execute(f"delete from intermediate.{model} where load_date = $night", {"night": night})
            self.connection.execute(f"insert into intermediate.{model} by name {compiled(model, incremental=True)}")

    def profiles(self) -> pa.Table:
        return self.connection.execute("from intermediate.int_quality__load_profiles").to_arrow_table()

    def begin(self) -> None:
        self.connection.execute("begin")

    def forget(self) -> None:
        """Undo what came after `begin`."""
        self.connection.execute("rollback")
