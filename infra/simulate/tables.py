"""The generated world as files: a folder of Parquet for each platform, one file a table and day, and the truth in files of its own."""

from datetime import timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from infra.simulate.behaviour import TYPES, Events
from infra.simulate.catalogue import UNAVAILABLE, Catalogue, Items
from infra.simulate.people import Accounts, People
from infra.simulate.world import DAY, Ints, World

FIRST_ID = 1_000
TOPIC_WORDS = "topic {:02d}"
TRUTH = {
    "accounts": pa.schema([("platform", pa.string()), ("account_id", pa.int64()), ("person", pa.int64())]),
    "items": pa.schema([("platform", pa.string()), ("item_id", pa.int64()), ("product", pa.int64())]),
}


def write_accounts(folder: Path, world: World, people: People, accounts: Accounts, platform: str) -> None:
    """One file of the accounts there were before, and one of those that are new, for each day."""
    opened = accounts.begins * DAY + world.rng("opened", platform).integers(0, DAY, len(accounts.person))
    columns = {
        "account_id": pa.array(np.arange(len(accounts.person)) + FIRST_ID),
        **{name: pa.array(texts) for name, texts in people.profiles(accounts, platform).items()},
        "opened_at": _times(world.seconds(0) + opened),
    }
    _by_day(folder, "accounts", world, accounts.begins, pa.table(columns))


def write_items(folder: Path, world: World, catalogue: Catalogue, items: Items, platform: str) -> None:
    """As `write_accounts`, of items. Each platform asks a price of its own, about that of the product."""
    rng = world.rng("offers", platform)
    price = np.round(catalogue.price[items.product] * rng.uniform(0.9, 1.1, len(items.product)), 2)
    topics = np.array([TOPIC_WORDS.format(number) for number in range(len(items.of_topic))], dtype=object)
    columns = {
        "item_id": pa.array(np.arange(len(items.product)) + FIRST_ID),
        "title": pa.array(catalogue.titles[items.product]),
        "year": pa.array(catalogue.year[items.product]),
        "category": pa.array(topics[catalogue.topic[items.product]]),
        "price": pa.array(price),
        "available": pa.array(rng.random(len(price)) >= UNAVAILABLE),
        "listed_at": _times(world.seconds(0) + items.begins * DAY),
    }
    _by_day(folder, "items", world, items.begins, pa.table(columns))


def write_events(folder: Path, world: World, events: Events, day: int) -> int:
    """The events of one day; returns how many."""
    actions = pa.DictionaryArray.from_arrays(pa.array(events.kind), pa.array(TYPES))
    columns = {
        "event_id": pa.array(np.int64(day + 1) * 2**32 + np.arange(len(events.at))),
        "account_id": pa.array(events.account + FIRST_ID),
        "item_id": pa.array(events.item + FIRST_ID),
        "action": actions,
        "value": pa.array(events.value),
        "happened_at": _times(events.at),
    }
    _write(folder, "events", world, day, pa.table(columns))
    return len(events.at)


class Truth:
    """``accounts.parquet`` (platform, account_id, person) and ``items.parquet`` (platform, item_id, product): what no platform says."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True)
        self._files = {
            name: pq.ParquetWriter(folder / f"{name}.parquet", schema, compression="zstd")
            for name, schema in TRUTH.items()
        }

    def __enter__(self) -> "Truth":
        return self

    def __exit__(self, *_: object) -> None:
        for file in self._files.values():
            file.close()

    def write(self, platform: str, accounts: Accounts, items: Items) -> None:
        """Whose accounts, and of which products the items of one platform are."""
        for name, rows in (("accounts", accounts.person), ("items", items.product)):
            columns = [[platform] * len(rows), np.arange(len(rows)) + FIRST_ID, rows]
            self._files[name].write_table(pa.table(columns, schema=TRUTH[name]))


def _by_day(folder: Path, name: str, world: World, begins: Ints, rows: pa.Table) -> None:
    """``rows`` are in the order of ``begins``; those before the first day go into the file of the day before it."""
    bounds = np.searchsorted(begins, np.arange(world.days + 1))
    _write(folder, name, world, -1, rows.slice(0, bounds[0]))
    for day in range(world.days):
        if new := int(bounds[day + 1] - bounds[day]):
            _write(folder, name, world, day, rows.slice(bounds[day], new))


def _write(folder: Path, name: str, world: World, day: int, rows: pa.Table) -> None:
    path = folder / name / f"{name}-{world.begins + timedelta(day)}.parquet"
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(rows, path, compression="zstd", compression_level=1)


def _times(seconds: Ints) -> pa.Array:
    return pa.array(seconds * 1_000_000).cast(pa.timestamp("us"))
