"""Three platforms with a steady week, for the gates to be tried on: written by the demo's own writers, with behaviour by formula.

MovieLens lends the titles and FEBRL the people. Who does what, and when, is drawn: a rhythm of the week and of the day, growth, and
one quiet holiday. Each night brings new and changed accounts and items, and a few rows that belong in quarantine.
"""

import sqlite3
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from infra.demo import behaviour, forum, people, shop, sources, stream
from infra.demo.behaviour import DAY, Platform
from infra.demo.wording import local_text
from tests.expectations.generated import HOURS, WEEK

FIRST_NIGHT = date(2001, 3, 6)  # brings all history; New York's clocks change four weeks after it
CLEAN_NIGHTS = 30
WRITERS = {"stream": stream.write, "shop": shop.write, "forum": forum.write}
TIMES = np.dtype("datetime64[s]")


@dataclass(frozen=True)
class Shape:
    """How much there is. ``events`` are those of a platform's mean night; ``changed_*`` are shares of what there is, each night."""

    people: int = 1800
    films: int = 600
    events: tuple[tuple[str, int], ...] = (("stream", 400), ("shop", 300), ("forum", 240))
    days_before: int = 75
    nights: int = CLEAN_NIGHTS + 2  # the last one is the corrupted night; the first one brings the history
    days_after: int = 8
    growth: float = 0.003  # a day
    noise: float = 0.06  # of a night's amount, as a standard deviation of its logarithm
    holiday: int = 17  # nth day after the first night
    on_holiday: float = 0.5
    joined_later: float = 0.25  # share of the accounts and items that are new after the first day
    changed_accounts: float = 0.01
    changed_items: float = 0.03

    @property
    def begin(self) -> date:
        return FIRST_NIGHT - timedelta(self.days_before)

    @property
    def days(self) -> int:
        return self.days_before + self.nights + self.days_after

    @property
    def bench_night(self) -> date:
        """The night after the clean ones: the one that is corrupted."""
        return FIRST_NIGHT + timedelta(self.nights - 1)


def build_steady(demo: Path, shape: Shape | None = None, seed: int = 7) -> None:
    """Write the three platforms into the folder ``demo``, as `infra.demo.build_demo` does, and what is true of them to ``truth/``.

    The sources hold the days after the bench night too, as the demo's do: a night reads what was known before it.
    ``truth/events.parquet`` has every event with its person and film.
    """
    shape = shape or Shape()
    rng = np.random.default_rng(seed)
    (demo / "truth").mkdir(parents=True)
    films = sources.load_movielens("small").films.dropna(subset=["year"])
    films = films[films["genres"] != ""].sample(shape.films, random_state=seed).reset_index(drop=True)
    users = pd.DataFrame(
        {
            "user": [f"p{number}" for number in range(shape.people)],
            "age_band": rng.choice(7, shape.people, p=[0.04, 0.2, 0.33, 0.2, 0.09, 0.08, 0.06]),
            "female": rng.random(shape.people) < 0.4,
        }
    )
    source = sources.MovieLens(pd.DataFrame(), films, users)
    homes = people.settle(shape.people, rng)
    accounts = people.open_accounts(source, homes, sources.load_febrl(), rng)
    tastes = _tastes(films, int(accounts["user"].max()) + 1, rng)
    truths = [
        _write(demo, name, mean, shape, accounts[accounts["platform"] == name], films, tastes, rng)
        for name, mean in shape.events
    ]
    pd.concat(truths, ignore_index=True).to_parquet(demo / "truth" / "events.parquet", index=False)


def following_week(demo: Path, as_of: date) -> pd.DataFrame:
    """platform, account_id, item_id and rating of what happened in the seven days from ``as_of`` on."""
    events = pd.read_parquet(demo / "truth" / "events.parquet")
    begins = _seconds_of(as_of)
    return events[(events["at"] >= begins) & (events["at"] < begins + 7 * DAY)].reset_index(drop=True)


def _write(
    demo: Path,
    name: str,
    mean: int,
    shape: Shape,
    accounts: pd.DataFrame,
    films: pd.DataFrame,
    tastes: NDArray[np.float64],
    rng: np.random.Generator,
) -> pd.DataFrame:
    """Write one platform; its events with the platform's own ids."""
    accounts = accounts.reset_index(drop=True).assign(created=_beginnings(len(accounts), shape, rng))
    stock = np.sort(rng.permutation(len(films))[: len(films) * 7 // 10])
    catalogue = films.iloc[stock].reset_index(drop=True)
    catalogue["listed"] = _beginnings(len(catalogue), shape, rng)
    catalogue["available"] = rng.random(len(catalogue)) >= behaviour.UNAVAILABLE
    events = _events(mean, shape, accounts, catalogue, tastes[accounts["user"].to_numpy()][:, stock], rng)
    truth = WRITERS[name](demo, Platform(name, accounts, catalogue, _with_defects(events, name, rng)), rng)
    CHANGES[name](demo, shape, rng)
    # a renamed member has two handles; the newer one is the one that is listed first
    ids = truth.accounts.drop_duplicates("person").set_index("person")["account_id"]
    items = truth.items.set_index("film")["item_id"]
    return pd.DataFrame(
        {
            "platform": name,
            "account_id": ids.loc[accounts["person"].to_numpy()[events["account"]]].to_numpy(object),
            "item_id": items.loc[catalogue["film"].to_numpy()[events["film"]]].to_numpy(object),
            "rating": events["rating"],
            "at": events["at"],
        }
    )


# --- who does what, and when


def _seconds_of(day: date) -> int:
    return int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp())


def _time_of_day(size: int, rng: np.random.Generator) -> NDArray[np.int64]:
    return rng.choice(24, size, p=HOURS / HOURS.sum()) * 3600 + rng.integers(0, 3600, size)


def _beginnings(size: int, shape: Shape, rng: np.random.Generator) -> NDArray[np.int64]:
    """When each account or item began: most of them before the first day, the others evenly over all days."""
    day = np.where(
        rng.random(size) < shape.joined_later, rng.integers(0, shape.days, size), -rng.integers(1, 400, size)
    )
    return np.asarray(_seconds_of(shape.begin) + day * DAY + _time_of_day(size, rng))


def _tastes(films: pd.DataFrame, persons: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """How much each person likes each film, shape (persons, films): by its genres, and by its fame."""
    genres = films["genres"].str.get_dummies("|").to_numpy(dtype=float)
    liked = rng.normal(0, 1.3, (persons, genres.shape[1])) @ (genres / genres.sum(axis=1, keepdims=True)).T
    fame = np.minimum(rng.pareto(1.2, len(films)) + 0.1, 6)  # no new film gets a third of a night to itself
    return np.asarray(liked + np.log(fame))


def night_amounts(mean: int, shape: Shape, rng: np.random.Generator | None = None) -> NDArray[np.int64]:
    """Events of each day from ``shape.begin`` on."""
    rng = rng or np.random.default_rng(0)
    day = np.arange(shape.days)
    weekday = (shape.begin.weekday() + day) % 7
    holiday = np.where(day == shape.days_before + shape.holiday, shape.on_holiday, 1.0)
    level = mean * WEEK[weekday] / WEEK.mean() * (1 + shape.growth) ** (day - shape.days_before) * holiday
    return np.asarray(rng.poisson(level * np.exp(rng.normal(0, shape.noise, shape.days))))


def _events(
    mean: int,
    shape: Shape,
    accounts: pd.DataFrame,
    catalogue: pd.DataFrame,
    tastes: NDArray[np.float64],
    rng: np.random.Generator,
) -> pd.DataFrame:
    """account, film, rating and at of every event. Somebody chooses a film once, by taste among what is listed (a logit model)."""
    activity = np.minimum(rng.pareto(1.6, len(accounts)) + 0.2, 6)
    created, listed = accounts["created"].to_numpy(), catalogue["listed"].to_numpy()
    had = np.zeros(tastes.shape, dtype=bool)
    parts = []
    for day, amount in enumerate(night_amounts(mean, shape, rng)):
        midnight = _seconds_of(shape.begin) + day * DAY
        there = np.flatnonzero(created < midnight)
        length = rng.geometric(0.5, amount)  # of each visit; more visits than are needed
        visitor = rng.choice(there, amount, p=activity[there] / activity[there].sum())
        account = np.repeat(visitor, length)[:amount]
        start = np.repeat(_time_of_day(amount, rng), length)[:amount]
        wanted = tastes[account] + rng.gumbel(size=(amount, len(listed)))
        wanted[had[account] | (listed >= midnight)] = -np.inf
        film = wanted.argmax(axis=1)
        at = midnight + np.minimum(start + rng.integers(0, 600, amount), DAY - 1)
        liking = tastes[account, film] - tastes[:, film].mean(axis=0)
        rating = np.clip(np.round(3.3 + 0.7 * liking + rng.normal(0, 0.8, amount)), 1, 5).astype("int64")
        part = pd.DataFrame({"account": account, "film": film, "rating": rating, "at": at})
        part = part.drop_duplicates(["account", "film"])
        had[part["account"], part["film"]] = True
        parts.append(part)
    return pd.concat(parts).sort_values(["at", "account"], kind="stable", ignore_index=True)


def _with_defects(events: pd.DataFrame, name: str, rng: np.random.Generator) -> pd.DataFrame:
    """The events as `behaviour.Platform` has them: a few of each defect that the demo has, each night."""
    size = len(events)
    shares = behaviour.DEFECTS | ({"malformed": behaviour.MALFORMED} if name == "forum" else {})
    defect = rng.choice(np.array(["", *shares], dtype=object), size, p=[1 - sum(shares.values()), *shares.values()])
    at = events["at"].to_numpy()
    return events.assign(
        claimed=at + np.where(defect == "future_date", rng.integers(30, 3650, size) * DAY, 0),
        known=at + rng.integers(1, 30, size) + np.where(defect == "late", rng.integers(DAY, 5 * DAY, size), 0),
        defect=defect,
        detail=np.where(defect == "null_id", rng.choice(np.array(["account", "item"], dtype=object), size), ""),
    )


# --- what changes: a database has each row once, as it is now, so what a night changes is done before that night


def arrive(demo: Path, as_of: date) -> None:
    """Do to the databases what changed on the day before ``as_of``; the forum's logs have every change from the beginning."""
    between = (_seconds_of(as_of) - DAY, _seconds_of(as_of))
    for table, key in (("viewers", "viewer_id"), ("titles", "title_id")):
        with duckdb.connect(str(demo / "stream.duckdb")) as connection:
            connection.register("new", _changes_between(demo, table, *between))
            connection.execute(f"delete from {table} where {key} in (select {key} from new)")
            connection.execute(f"insert into {table} from new")
    for table, key in (("customers", "customer_no"), ("products", "sku")):
        new = _changes_between(demo, table, *between)
        with closing(sqlite3.connect(demo / "shop.sqlite")) as client, client:
            client.executemany(f"delete from {table} where {key} = ?", [(name,) for name in new[key]])
            new.to_sql(table, client, if_exists="append", index=False)


def _changes_between(demo: Path, table: str, begins: int, ends: int) -> pd.DataFrame:
    changes = pd.read_parquet(demo / "truth" / f"{table}.parquet")
    return changes[(changes["known"] >= begins) & (changes["known"] < ends)].drop(columns="known")


def _changed(began: NDArray[np.int64], share: float, shape: Shape, rng: np.random.Generator) -> pd.DataFrame:
    """row, and known (unix seconds), of what changes on each day after the history: the same share of what there is.

    A row changes once a day at most, and not on its first day: a table's load has no key twice.
    """
    day = np.repeat(np.arange(shape.days_before, shape.days), max(1, round(share * len(began))))
    row = rng.integers(0, len(began), len(day))
    midnight = _seconds_of(shape.begin) + day * DAY
    changes = pd.DataFrame({"row": row, "known": midnight + _time_of_day(len(day), rng), "day": day})
    return changes[began[row] < midnight].drop_duplicates(["row", "day"])


def _stream_changes(demo: Path, shape: Shape, rng: np.random.Generator) -> None:
    with duckdb.connect(str(demo / "stream.duckdb")) as connection:
        viewers, titles = connection.execute("from viewers").df(), connection.execute("from titles").df()
    changes = _changed(_seconds(viewers["created_at"]), shape.changed_accounts, shape, rng)
    moved = viewers.iloc[changes["row"]].assign(updated_at=changes["known"].to_numpy().astype(TIMES))
    moved["phone"] = moved["phone"].mask(rng.random(len(moved)) < 0.1, None)
    moved.assign(known=changes["known"].to_numpy()).to_parquet(demo / "truth" / "viewers.parquet", index=False)
    changes = _changed(_seconds(titles["added_at"]), shape.changed_items, shape, rng)
    moved = titles.iloc[changes["row"]].assign(updated_at=changes["known"].to_numpy().astype(TIMES))
    moved["available"] = rng.random(len(moved)) > behaviour.UNAVAILABLE
    moved.assign(known=changes["known"].to_numpy()).to_parquet(demo / "truth" / "titles.parquet", index=False)


def _shop_changes(demo: Path, shape: Shape, rng: np.random.Generator) -> None:
    with closing(sqlite3.connect(demo / "shop.sqlite")) as client:
        customers, products = (pd.read_sql(f"select * from {table}", client) for table in ("customers", "products"))
    changes = _changed(_seconds(_from_local(customers["registered_at"])), shape.changed_accounts, shape, rng)
    moved = customers.iloc[changes["row"]].assign(updated_at=local_text(changes["known"], shop.ZONE))
    moved["phone"] = moved["phone"].mask(rng.random(len(moved)) < 0.1, None)
    moved.assign(known=changes["known"].to_numpy()).to_parquet(demo / "truth" / "customers.parquet", index=False)
    changes = _changed(_seconds(_from_local(products["listed_at"])), shape.changed_items, shape, rng)
    moved = products.iloc[changes["row"]].assign(updated_at=local_text(changes["known"], shop.ZONE))
    moved["price"] = (moved["price"] * rng.choice([0.9, 1.0, 1.1], len(moved))).round(2)
    moved["in_stock"] = (rng.random(len(moved)) > behaviour.UNAVAILABLE).astype("int64")
    moved.assign(known=changes["known"].to_numpy()).to_parquet(demo / "truth" / "products.parquet", index=False)


def _seconds(times: pd.Series) -> NDArray[np.int64]:
    return times.to_numpy().astype(TIMES).astype("int64")


def _from_local(texts: pd.Series) -> pd.Series:
    local = pd.to_datetime(texts).dt.tz_localize(shop.ZONE, ambiguous=True, nonexistent="shift_forward")
    return local.dt.tz_convert(None)


def _forum_changes(demo: Path, shape: Shape, rng: np.random.Generator) -> None:
    """Members edit their profiles. Renamings, deletions and withdrawals are the demo's own."""
    folder = demo / "forum" / "members"
    with duckdb.connect() as connection:
        lines = connection.execute(
            "select json as line, cast(cast(json_extract_string(json, '$.joined') as timestamptz) as timestamp) as joined"
            " from read_ndjson_objects($files)"
            " where (json ->> 'status') = 'active' and (json ->> 'formerly') is null order by joined, line",
            {"files": f"{folder}/*.jsonl"},
        ).df()
        changes = _changed(lines["joined"].to_numpy().astype(TIMES).astype("int64"), shape.changed_accounts, shape, rng)
        connection.register("new", lines.iloc[changes["row"]].assign(known=changes["known"].to_numpy().astype(TIMES)))
        edited = connection.execute(
            "select strftime(known, '%Y-%m-%d') as day, cast(json_merge_patch(line, json_object('changed',"
            " strftime(known, '%Y-%m-%dT%H:%M:%S') || '+00:00')) as varchar) as line from new order by known"
        ).df()
    for day, part in edited.groupby("day")["line"]:
        with (folder / f"members-{day}.jsonl").open("a", encoding="utf-8") as file:
            file.write("\n".join(part) + "\n")


CHANGES = {"stream": _stream_changes, "shop": _shop_changes, "forum": _forum_changes}
