"""Real dbt on a real DuckDB file: an empty warehouse for the unit tests, and a small lake for whole nights."""

import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pytest

from dags.steps.merge.prepare import GONE_KEYS
from infra.platforms import Platform, load_platforms
from infra.settings import Settings
from infra.warehouse import DBT_PROJECT, connect, run_dbt

# columns that arrive in their source's own type; those of text sources (SQLite, JSON lines) arrive as text
TYPES = {
    "stream": {
        "viewer_id": "bigint",
        "title_id": "bigint",
        "runtime_seconds": "integer",
        "available": "boolean",
        "added_at": "timestamp",
        "created_at": "timestamp",
        "updated_at": "timestamp",
        "started_at": "timestamp",
        "ingested_at": "timestamp",
        "seconds_watched": "integer",
        "completion": "double",
    }
}
LOAD = {"_unreadable": "varchar", "_row": "bigint", "_known_at": "timestamp"}
IDENTITY = {
    "account_persons": ("platform", "account_id", "person_id"),
    "item_products": ("platform", "item_id", "product_id"),
    "person_redirects": ("retired_person_id", "person_id"),
    "product_redirects": ("retired_product_id", "product_id"),
    "person_changes": ("kind", "person_id", "other_person_id", "accounts", "evidence"),
    "product_changes": ("kind", "product_id", "other_product_id", "items", "evidence"),
}
RANKING = {
    "ranked": {
        **dict.fromkeys(
            (
                "person_id",
                "account_id",
                "platform",
                "item_id",
                "product_id",
                "category",
                "slot",
                "model_version",
                "strategy",
            ),
            "varchar",
        ),
        "rank": "integer",
        "score": "double",
        "propensity": "double",
    },
    "excluded_sources": {"target": "varchar", "source": "varchar"},
}
NO_CHANGES = ("person_redirects", "product_redirects", "person_changes", "product_changes")
NIGHTS = [date(2000, 12, 7) + timedelta(days) for days in range(8)]


@pytest.fixture(scope="session")
def platforms() -> list[Platform]:
    return load_platforms(DBT_PROJECT / "models" / "staging")


def write_load(
    settings: Settings, platform: Platform, table: str, load_date: date, rows: Sequence[dict[str, object]]
) -> None:
    """One load of a table in the lake, as extract writes it; rows without a column have null there."""
    declared = platform.table(table)
    types = {
        column.lands_as: TYPES.get(platform.name, {}).get(column.lands_as, "varchar") for column in declared.landed
    }
    types |= LOAD
    values = {name: pa.array([row.get(name) for row in rows]) for name in types}
    values["_row"] = pa.array(range(1, len(rows) + 1), pa.int64())
    folder = Path(settings.lake_uri) / f"raw/platform={platform.name}/table={table}/load_date={load_date}"
    folder.mkdir(parents=True)
    columns = ", ".join(f'cast("{name}" as {kind}) as "{name}"' for name, kind in types.items())
    _write(pa.table(values), columns, folder / "part-00000.parquet")


def write_identity(settings: Settings, as_of: date, name: str, rows: Sequence[Sequence[str]]) -> None:
    """What linkage would have found out that night."""
    columns = IDENTITY[name]
    values = {column: pa.array([row[number] for row in rows], pa.string()) for number, column in enumerate(columns)}
    folder = Path(settings.lake_uri) / f"identity/as_of={as_of}"
    folder.mkdir(parents=True, exist_ok=True)
    _write(pa.table(values), ", ".join(columns), folder / f"{name}.parquet")


def write_no_changes(settings: Settings, as_of: date) -> None:
    """A night that passed its gate, and in which nobody was merged or split."""
    for name in NO_CHANGES:
        write_identity(settings, as_of, name, [])
    accepted = Path(settings.lake_uri) / f"identity/as_of={as_of}/person_accepted.json"
    accepted.write_text('{"model_version": "1", "vault_is_open": true}')


def write_no_gone_keys(settings: Settings, as_of: date) -> None:
    """A night whose sources lost no key."""
    folder = Path(settings.lake_uri) / f"nights/as_of={as_of}"
    folder.mkdir(parents=True, exist_ok=True)
    _write(GONE_KEYS.empty_table(), "*", folder / "gone_keys.parquet")


def write_no_ranking(settings: Settings, as_of: date) -> None:
    """A night in which nothing was ranked and no source was excluded."""
    folder = Path(settings.lake_uri) / f"nights/as_of={as_of}"
    folder.mkdir(parents=True, exist_ok=True)
    for name, types in RANKING.items():
        columns = ", ".join(f"cast({column} as {kind}) as {column}" for column, kind in types.items())
        _write(pa.table({column: pa.array([], pa.string()) for column in types}), columns, folder / f"{name}.parquet")


def _write(table: pa.Table, columns: str, path: Path) -> None:
    with closing(duckdb.connect()) as connection:
        connection.register("given", table)
        connection.execute(f"copy (select {columns} from given) to '{path}' (format parquet)")


# --- an empty warehouse: unit tests ask it, and the lake, for the columns of what they are given


@dataclass(frozen=True)
class EmptyWarehouse:
    settings: Settings
    as_of: date


@pytest.fixture(scope="session")
def empty_warehouse(platforms: list[Platform], tmp_path_factory: pytest.TempPathFactory) -> EmptyWarehouse:
    """Every seed, source and model, without a row."""
    as_of = date(2000, 12, 15)
    settings = Settings(home=tmp_path_factory.mktemp("empty"))
    for platform in platforms:
        for table in platform.tables:
            write_load(settings, platform, table.name, as_of, [])
    for name in ("account_persons", "item_products"):
        write_identity(settings, as_of, name, [])
    write_no_changes(settings, as_of)
    write_no_ranking(settings, as_of)
    write_no_gone_keys(settings, as_of)
    run_dbt(settings, ["seed"], as_of)
    run_dbt(settings, ["run", "--empty"], as_of)
    return EmptyWarehouse(settings, as_of)


# --- a small lake: three platforms, forty accounts of thirty people, thirty items of fourteen products, six weeks


@dataclass(frozen=True)
class Row:
    """A row of a source, and when it became visible there."""

    platform: str
    table: str
    known_at: datetime
    values: dict[str, object]


class SmallLake:
    """Six weeks of three platforms, landed night by night.

    Two in a hundred events come twice, five late, three are corrected some days later; two accounts and an item of each
    platform are new in the last week, and one member is renamed in it.
    """

    def __init__(self, settings: Settings, platforms: list[Platform]) -> None:
        self.settings = settings
        self.platforms = platforms
        self.rows = [*_accounts(), *_items(), *_events(np.random.default_rng(20001215))]
        self.rows.sort(key=lambda row: (row.known_at, str(sorted(row.values.items(), key=str))))

    def land(self) -> None:
        """The load of every night, the first one with all that came before, and what linkage finds out each night."""
        since = datetime.min
        for night in NIGHTS:
            until = datetime.combine(night, time())
            for platform in self.platforms:
                for table in platform.tables:
                    rows = [
                        row.values | {"_known_at": row.known_at}
                        for row in self.rows
                        if (row.platform, row.table) == (platform.name, table.name) and since <= row.known_at < until
                    ]
                    write_load(self.settings, platform, table.name, night, rows)
            write_identity(self.settings, night, "account_persons", [*_persons()])
            write_identity(self.settings, night, "item_products", [*_products()])
            write_no_changes(self.settings, night)
            write_no_gone_keys(self.settings, night)
            since = until


ACCOUNTS = {"stream": 16, "shop": 14, "forum": 10}
ITEMS_OF_A_PLATFORM = 10
BEGIN, NEW_WEEK = datetime(2000, 11, 1), datetime(2000, 12, 8, 15)
AGES = {"stream": ["18_24", "25_34", None], "shop": ["18 to 24", "35 to 44"], "forum": ["18-24", "56+"]}


def _account_id(platform: str, number: int) -> str:
    return {"stream": f"{1000 + number}", "shop": f"C{number:03}", "forum": f"member_{number}"}[platform]


def _item_id(platform: str, number: int) -> str:
    return {"stream": f"{500 + number}", "shop": f"DVD-{number:03}", "forum": f"f-{number:03}"}[platform]


def _persons() -> Iterator[tuple[str, str, str]]:
    """Stream's and shop's first ten accounts are the same people."""
    for platform, count in ACCOUNTS.items():
        for number in range(count):
            person = f"P{number:02}" if platform != "forum" and number < 10 else f"{platform}-{number:02}"
            yield platform, _account_id(platform, number), person
    yield "forum", "member_0_renamed", "forum-00"


def _products() -> Iterator[tuple[str, str, str]]:
    """Each platform lacks four of fourteen."""
    for shift, platform in enumerate(ACCOUNTS):
        for number in range(ITEMS_OF_A_PLATFORM):
            yield platform, _item_id(platform, number), f"film-{number + 2 * shift:02}"


def _accounts() -> Iterator[Row]:
    for platform, count in ACCOUNTS.items():
        for number in range(count):
            at = NEW_WEEK if number >= count - 2 else BEGIN - timedelta(hours=number)
            age, account = AGES[platform][number % len(AGES[platform])], _account_id(platform, number)
            values: dict[str, dict[str, object]] = {
                "stream": {"viewer_id": account, "age_band": age, "gender": "female", "created_at": at},
                "shop": {"customer_no": account, "age_group": age, "sex": "M", "registered_at": _new_york(at)},
                "forum": {"handle": account, "status": "active", "joined": f"{at}+00:00", "age_group": age},
            }
            table = {"stream": "viewers", "shop": "customers", "forum": "members"}[platform]
            yield Row(platform, table, at, values[platform])
    renamed = {
        "handle": "member_0_renamed",
        "formerly": "member_0",
        "status": "active",
        "joined": "2000-11-01T00:00:00Z",
    }
    yield Row("forum", "members", datetime(2000, 12, 11), renamed | {"age_group": "18-24"})


def _items() -> Iterator[Row]:
    for platform in ACCOUNTS:
        for number in range(ITEMS_OF_A_PLATFORM):
            at = NEW_WEEK if number >= ITEMS_OF_A_PLATFORM - 1 else BEGIN - timedelta(days=number)
            item, genre = _item_id(platform, number), ["Drama", "Crime", "War"][number % 3]
            values: dict[str, dict[str, object]] = {
                "stream": {"title_id": item, "title": f"Film {number} (1990)", "genres": genre, "available": True},
                "shop": {
                    "sku": item,
                    "name": f"Film {number}",
                    "department": genre,
                    "price": f"{5 + number % 7}.5",
                    "in_stock": "1",
                },
                "forum": {"film": item, "title": f"Film {number}", "tags": f'["{genre}"]', "available": "true"},
            }
            times = {
                "stream": {"added_at": at},
                "shop": {"listed_at": _new_york(at)},
                "forum": {"listed": f"{at}+00:00"},
            }
            table = {"stream": "titles", "shop": "products", "forum": "films"}[platform]
            yield Row(platform, table, at, values[platform] | times[platform])


def _events(random: np.random.Generator) -> Iterator[Row]:
    for number in range(2000):
        platform = str(random.choice(["stream", "shop", "forum"]))
        at = BEGIN + timedelta(seconds=int(random.integers(45 * 86_400)))
        newest = at >= NEW_WEEK  # only then are the newest accounts and items there
        account = _account_id(platform, int(random.integers(ACCOUNTS[platform] - (0 if newest else 2))))
        item = _item_id(platform, int((ITEMS_OF_A_PLATFORM - (0 if newest else 1)) * random.random() ** 2))
        fate, days_late = random.random(), timedelta(days=float(random.uniform(1, 6)))
        stars = int(random.integers(1, 6))
        known_at = at + (days_late if 0.02 < fate < 0.07 else timedelta(seconds=30))
        yield from _event(platform, number, account, item, at, known_at, stars)
        if fate < 0.02:
            yield from _event(platform, number, account, item, at, known_at + days_late, stars)
        if fate > 0.97:
            yield from _event(platform, number, account, item, at, known_at + days_late, stars % 5 + 1)


def _event(
    platform: str, number: int, account: str, item: str, at: datetime, known_at: datetime, stars: int
) -> Iterator[Row]:
    if platform == "stream":
        values: dict[str, object] = {"watch_id": f"w{number}", "viewer_id": account, "title_id": item}
        yield Row(
            platform, "watch_log", known_at, values | {"action": "play", "started_at": at, "completion": stars / 5}
        )
    elif platform == "forum":
        values = {"post": f"p{number}", "handle": account, "film": item, "kind": "review", "stars": str(stars)}
        yield Row(platform, "posts", known_at, values | {"posted": f"{at}+00:00"})
    else:
        values = {"order_no": f"O{number}", "customer_no": account, "status": "paid", "ordered_at": _new_york(at)}
        yield Row(platform, "orders", known_at, values)
        line = {"line_id": f"L{number}", "order_no": f"O{number}", "sku": item, "review_score": str(20 * stars)}
        yield Row(platform, "order_lines", known_at, line)


def _new_york(at: datetime) -> str:
    """Winter time, as throughout these weeks."""
    return str(at - timedelta(hours=5))


# --- nights


@dataclass(frozen=True)
class Warehouse:
    """A warehouse over the small lake."""

    settings: Settings

    def run(self, night: date) -> None:
        """The models that a night builds before anything is ranked, in one go."""
        arguments = ["build", "--exclude-resource-type", "test", "--exclude-resource-type", "unit_test"]
        arguments += ["--exclude", "tag:lists"]
        run_dbt(self.settings, arguments, night)

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        """What a query gives, in an order of its own."""
        with connect(self.settings) as connection:
            return connection.execute(f"select * from ({sql}) order by all").fetchall()

    def content(self) -> dict[tuple[str, str], list[tuple[Any, ...]]]:
        """Every row of every table of the models."""
        tables = self.rows(
            "select table_schema, table_name from information_schema.tables"
            " where table_schema in ('staging', 'intermediate', 'marts')"
        )
        return {(schema, table): self.rows(f"from {schema}.{table}") for schema, table in tables}


@dataclass(frozen=True)
class Nights:
    """A warehouse after all nights one by one, and the candidates as each night saw them."""

    warehouse: Warehouse
    candidates: dict[date, list[tuple[Any, ...]]]


@pytest.fixture(scope="session")
def new_warehouse(platforms: list[Platform], tmp_path_factory: pytest.TempPathFactory) -> Callable[[], Warehouse]:
    """Makes an empty warehouse beside a landed lake; all of them share the lake."""
    lake = tmp_path_factory.mktemp("lake")

    def new_warehouse() -> Warehouse:
        home = tmp_path_factory.mktemp("home")
        return Warehouse(
            Settings(home=home, lake=str(lake), horizon_days=3, snapshot_every_days=3, training_snapshots=2, threads=1)
        )

    SmallLake(new_warehouse().settings, platforms).land()
    return new_warehouse


@pytest.fixture
def copy_of(tmp_path: Path) -> Callable[[Warehouse], Warehouse]:
    """A warehouse that a test may change, over the same lake."""

    def copy_of(warehouse: Warehouse) -> Warehouse:
        settings = Settings(**warehouse.settings.model_dump(exclude={"home"}), home=tmp_path)
        shutil.copy(warehouse.settings.warehouse_path, settings.warehouse_path)
        return Warehouse(settings)

    return copy_of


@pytest.fixture(scope="session")
def nightly(new_warehouse: Callable[[], Warehouse]) -> Nights:
    """Eight nights, one after the other."""
    warehouse, candidates = new_warehouse(), {}
    for night in NIGHTS:
        warehouse.run(night)
        candidates[night] = warehouse.rows(f"from marts.candidates where as_of = date '{night}'")
    return Nights(warehouse, candidates)


@pytest.fixture(scope="session")
def backfilled(new_warehouse: Callable[[], Warehouse]) -> Warehouse:
    """The last night only."""
    warehouse = new_warehouse()
    warehouse.run(NIGHTS[-1])
    return warehouse
