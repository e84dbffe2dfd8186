"""How large a generated world is, and what it has in common with all others."""

import zlib
from dataclasses import asdict, dataclass, field
from datetime import date, timedelta

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

NAMES = ("market", "cinema", "club", "radio", "press", "arcade", "library", "travel")
TOPICS = 24
DAY = 86_400  # seconds
# how much happens, by weekday from Monday on and by hour of the day
WEEK = np.array([0.90, 0.88, 0.92, 0.97, 1.08, 1.15, 1.10])
HOURS = np.array([2, 1, 1, 1, 1, 2, 4, 7, 9, 9, 9, 10, 11, 10, 9, 9, 10, 12, 15, 18, 20, 19, 13, 6], dtype=float)


@dataclass(frozen=True)
class World:
    """``events`` are those of all platforms and days together; ``ends`` is the day after the last one, so the first night's date.

    ``growth`` is by how much more happens each day, ``season`` by how much more in the busiest month than on average. ``newcomers``
    is the share of accounts, and of items, that begin within the days; ``churn`` the share of accounts that stop within them.
    """

    persons: int = 20_000
    events: int = 1_000_000
    platforms: int = 4
    items: int = 4_000
    days: int = 90
    seed: int = 1
    ends: date = field(default=date(2001, 1, 1))
    growth: float = 0.002
    season: float = 0.15
    newcomers: float = 0.3
    churn: float = 0.15

    def __post_init__(self) -> None:
        smallest = {"persons": 10, "events": 1, "platforms": 1, "items": TOPICS, "days": 1}
        for name, least in smallest.items():
            if getattr(self, name) < least:
                raise ValueError(f"a generated world has at least {least} {name}. Received: {getattr(self, name)}.")
        if self.platforms > len(NAMES):
            raise ValueError(f"a generated world has at most {len(NAMES)} platforms. Received: {self.platforms}.")

    @property
    def names(self) -> tuple[str, ...]:
        return NAMES[: self.platforms]

    @property
    def begins(self) -> date:
        return self.ends - timedelta(self.days)

    def rng(self, *part: str | int) -> np.random.Generator:
        """The random numbers of one part of the world: another part, made earlier or later, changes none of them."""
        return np.random.default_rng([self.seed, zlib.crc32(" ".join(map(str, part)).encode())])

    def seconds(self, day: int) -> int:
        """Unix time of the day's midnight (UTC)."""
        return ((self.begins - date(1970, 1, 1)).days + day) * DAY

    def level(self, platform: str) -> Floats:
        """Expected events of each day, (days,). Platforms differ in size: each has two thirds of the one before."""
        day = np.arange(self.days)
        year = (self.begins.timetuple().tm_yday + day) / 365.25
        shape = WEEK[(self.begins.weekday() + day) % 7] * (1 + self.growth) ** day
        shape *= 1 + self.season * np.cos(2 * np.pi * (year - 0.95))
        share = (2 / 3) ** np.arange(self.platforms)
        amount = self.events * share[self.names.index(platform)] / share.sum()
        return np.asarray(amount * shape / shape.sum())

    def parameters(self) -> dict[str, object]:
        return asdict(self) | {"ends": self.ends.isoformat()}


def beginnings(world: World, size: int, rng: np.random.Generator) -> Ints:
    """On which day each of so many things begins, (size,); before day 0 for those that are not new."""
    old = -rng.integers(1, 366, size)
    return np.asarray(np.where(rng.random(size) < world.newcomers, rng.integers(0, world.days, size), old))
