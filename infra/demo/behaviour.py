"""What happens where: catalogues, the split of every user's ratings over their platforms, and what goes wrong.

Each catalogue lacks about 30% of the films, mostly those that few people rated. A rating whose film is not in the
catalogue moves to another platform of that user which has it, and is dropped where none has: 97.4% of MovieLens-1M's
ratings survive and 97.0% of MovieLens-100K's.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from infra.demo.people import PLATFORMS
from infra.demo.sources import MovieLens

ON_ONE, ON_TWO = 0.35, 0.2  # shares of the films on one platform and on two: each lacks (2 * 0.35 + 0.2) / 3 = 30%
NOTORIETY = 0.05  # how much chance blurs the order of popularity
SWITCH = 1 / 8  # chance that a user with several platforms goes on at another one after an event
UNAVAILABLE = 0.03
DAY = 86_400

DEFECTS = {"duplicate": 0.0012, "late": 0.0015, "unknown_type": 0.0007, "future_date": 0.0006, "null_id": 0.0007}
MALFORMED = 0.001  # only where a line of text can be malformed


@dataclass(frozen=True)
class Platform:
    """What a platform's writer needs, before it is said in the platform's own words.

    accounts: as people.open_accounts, plus created (unix seconds).
    catalogue: as MovieLens.films, plus listed (unix seconds), available.
    events: account, film (row numbers of the two above), rating, at (when it really was), claimed (the time the row
    will show), known (when the row became visible), defect ('' or a kind) and detail; by at.
    """

    name: str
    accounts: pd.DataFrame
    catalogue: pd.DataFrame
    events: pd.DataFrame


@dataclass(frozen=True)
class Truth:
    """What the platform itself does not say: accounts (account_id, person), items (item_id, film) and corruptions
    (table, row_key, kind, detail)."""

    accounts: pd.DataFrame
    items: pd.DataFrame
    corruptions: pd.DataFrame


def corrupted(table: str, rows: pd.DataFrame, key: str) -> pd.DataFrame:
    """The rows with a defect as Truth.corruptions lists them."""
    bad = rows[rows["defect"] != ""]
    return pd.DataFrame({"table": table, "row_key": bad[key], "kind": bad["defect"], "detail": bad["detail"]})


def stock_catalogues(source: MovieLens, rng: np.random.Generator) -> NDArray[np.bool_]:
    """Which film is in which platform's catalogue, shape (films, platforms).

    The films fewest people rated, give or take some chance, are on one platform, the next ones on two, the rest on all
    three, in shares that leave each platform with 70% of the films.
    """
    films = len(source.films)
    rank = np.bincount(source.ratings["film"], minlength=films).argsort(kind="stable").argsort()
    obscure_first = np.argsort(rank / films - NOTORIETY * rng.gumbel(size=films))
    missing = np.zeros((films, len(PLATFORMS)), dtype=np.int64)
    missing[: round(films * ON_ONE)] = [0, 1, 1]
    missing[round(films * ON_ONE) : round(films * (ON_ONE + ON_TWO))] = [0, 0, 1]
    missing = rng.permuted(missing, axis=1)
    held = np.empty(missing.shape, dtype=bool)
    held[obscure_first] = missing == 0
    return held


def split_ratings(
    ratings: pd.DataFrame, homes: NDArray[np.int64], held: NDArray[np.bool_], rng: np.random.Generator
) -> NDArray[np.int64]:
    """The platform where each rating happens, -1 for a film that none of the user's platforms holds.

    A user goes through their platforms in turn, in runs of about 1/SWITCH events; ``ratings`` must be in time order by
    user, so every platform sees time-ordered runs. A user with n events is made to switch after n/k of them, so that
    each of the k platforms sees some.
    """
    user, film = ratings["user"].to_numpy(), ratings["film"].to_numpy()
    count = (homes >= 0).sum(axis=1)[user]
    size = np.bincount(user)[user]
    start = np.searchsorted(user, user)
    position = np.arange(len(user)) - start
    forced = (position > 0) & (position % np.maximum(size // count, 1) == 0)
    runs = np.cumsum((rng.random(len(user)) < SWITCH) | forced)
    turn = runs - runs[start]

    platform = np.full(len(user), -1)
    for fallback in range(len(PLATFORMS)):
        wanted = homes[user, (turn + fallback) % count]
        platform = np.where((platform < 0) & held[film, wanted], wanted, platform)
    return platform


def assemble(
    number: int,
    source: MovieLens,
    accounts: pd.DataFrame,
    held: NDArray[np.bool_],
    rating_platform: NDArray[np.int64],
    rng: np.random.Generator,
) -> Platform:
    """Platform ``number`` of PLATFORMS with its accounts, catalogue and events in place and in time."""
    name = PLATFORMS[number]
    accounts = accounts[accounts["platform"] == name].reset_index(drop=True)
    stock = np.flatnonzero(held[:, number])
    ratings = source.ratings[rating_platform == number]
    events = pd.DataFrame(
        {
            "account": pd.Index(accounts["user"]).get_indexer(pd.Index(ratings["user"])),
            "film": np.searchsorted(stock, ratings["film"]),
            "rating": ratings["rating"].to_numpy(),
            "at": ratings["at"].to_numpy(),
        }
    ).sort_values(["at", "account"], kind="stable", ignore_index=True)

    catalogue = source.films.iloc[stock].reset_index(drop=True)
    catalogue["listed"] = _before_first(events, "film", len(catalogue), rng.uniform(1, 20, len(catalogue)), source, rng)
    catalogue["available"] = rng.random(len(catalogue)) >= UNAVAILABLE
    accounts["created"] = _before_first(
        events, "account", len(accounts), 0.001 + rng.exponential(0.25, len(accounts)), source, rng
    )
    shares = DEFECTS | ({"malformed": MALFORMED} if name == "forum" else {})
    return Platform(name, accounts, catalogue, _break(events, shares, rng))


def _before_first(
    events: pd.DataFrame, of: str, size: int, days: NDArray[np.float64], source: MovieLens, rng: np.random.Generator
) -> NDArray[np.int64]:
    """A time that many days before the first event; for what has none, before some event of the whole history."""
    first = events.groupby(of)["at"].min().reindex(range(size))
    anywhere = rng.choice(source.ratings["at"].to_numpy(), size)
    return (first.fillna(pd.Series(anywhere)).to_numpy() - days * DAY).astype("int64")


def _break(events: pd.DataFrame, shares: dict[str, float], rng: np.random.Generator) -> pd.DataFrame:
    """Events with claimed, known, defect and detail: most rows are sound, known seconds after they happened."""
    size = len(events)
    defect, detail = np.full(size, "", dtype=object), np.full(size, "", dtype=object)
    claimed = events["at"].to_numpy().copy()
    known = claimed + rng.integers(1, 30, size)

    counts = [round(size * share) for share in shares.values()]
    drawn = np.split(rng.permutation(size)[: sum(counts)], np.cumsum(counts)[:-1])
    rows = dict(zip(shares, drawn, strict=True))
    for kind, chosen in rows.items():
        defect[chosen] = kind

    lateness = rng.integers(DAY, 5 * DAY, len(rows["late"]))
    known[rows["late"]] += lateness
    detail[rows["late"]] = [f"known {seconds / DAY:.1f} days after it happened" for seconds in lateness]
    ahead = rng.integers(30, 3650, len(rows["future_date"]))
    claimed[rows["future_date"]] += ahead * DAY
    detail[rows["future_date"]] = [f"dated {days} days ahead" for days in ahead]
    detail[rows["null_id"]] = rng.choice(["account", "item"], len(rows["null_id"]))
    detail[rows["duplicate"]] = "the same row twice"
    return events.assign(claimed=claimed, known=known, defect=defect, detail=detail)
