"""Who does what, day by day: people visit by their habit, choose by their tastes, by fame and by what is new, and like what suits them."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from infra.simulate.catalogue import Catalogue, Items
from infra.simulate.people import LIKED, Accounts, People
from infra.simulate.world import HOURS, TOPICS, Floats, Ints, World

OF_LIKED = np.array(
    [0.5, 0.22, 0.1]
)  # share of a person's events in each topic that they like; the rest is of any topic
NEW = 0.15  # share of events with one of the newest items of the topic
NEWEST = 20
TYPES = np.array(["view", "like", "purchase"], dtype=object)
FROM = np.array([0.55, 0.8])  # the liking from which a view becomes a like, and a purchase


@dataclass(frozen=True)
class Events:
    """Events of one day by time. account and item: rows of the platform's `Accounts` and `Items`. at: unix seconds. value: 0..1."""

    account: Ints
    item: Ints
    at: Ints
    kind: npt.NDArray[np.int8]
    value: Floats


class Behaviour:
    """What happens on one platform."""

    def __init__(
        self, world: World, people: People, catalogue: Catalogue, accounts: Accounts, items: Items, platform: str
    ) -> None:
        self.world, self.people, self.catalogue, self.platform = world, people, catalogue, platform
        self.accounts, self.items = accounts, items
        self.level = world.level(platform)
        # fame of the items of a topic is an order by chance: the place of an item in it does not depend on when it began
        rng = world.rng("fame", platform)
        self.by_fame = [rng.permutation(rows) for rows in self.items.of_topic]

    def day(self, day: int) -> Events:
        rng, accounts = self.world.rng("events", self.platform, day), self.accounts
        known = int(np.searchsorted(accounts.begins, day, side="right"))
        habit = self.people.activity[accounts.person[:known]] * (accounts.ends[:known] > day)
        total = habit.sum()
        counts = rng.poisson(habit * (self.level[day] / total)) if total else np.zeros(known, np.int64)
        account = np.repeat(np.arange(known), counts)
        item, there = self._chosen(self._topics(account, rng), day, rng)
        account, item = account[there], item[there]
        value = self._liking(account, item, rng)
        kind = np.searchsorted(FROM, value, side="right").astype(np.int8)
        hours = rng.choice(24, len(account), p=HOURS / HOURS.sum())
        at = self.world.seconds(day) + hours * 3600 + rng.integers(0, 3600, len(account))
        order = np.argsort(at, kind="stable")
        return Events(account[order], item[order], at[order], kind[order], np.round(value[order], 3))

    def _topics(self, account: Ints, rng: np.random.Generator) -> Ints:
        place = np.searchsorted(OF_LIKED.cumsum(), rng.random(len(account)), side="right")
        liked = self.people.liked[self.accounts.person[account], np.minimum(place, LIKED - 1)]
        return np.asarray(np.where(place < LIKED, liked, rng.integers(0, TOPICS, len(account))))

    def _chosen(self, topic: Ints, day: int, rng: np.random.Generator) -> tuple[Ints, npt.NDArray[np.bool_]]:
        """An item of each topic, and whether there is one on that day. What is chosen by fame and not there yet is one of the newest."""
        item, there = np.zeros(len(topic), np.int64), np.zeros(len(topic), bool)
        fame, newest = rng.random(len(topic)), rng.random(len(topic))
        wants_new = rng.random(len(topic)) < NEW
        order = np.argsort(topic, kind="stable")
        bounds = np.searchsorted(topic[order], np.arange(TOPICS + 1))
        for number, rows in enumerate(self.items.of_topic):
            chosen = order[bounds[number] : bounds[number + 1]]
            listed = int(np.searchsorted(self.items.begins[rows], day, side="right"))
            if not listed:
                continue
            # the logarithm of the rank is uniform: Zipf's law
            famous = self.by_fame[number][np.exp(fame[chosen] * np.log(len(rows) + 1)).astype(np.int64) - 1]
            new = rows[listed - 1 - (newest[chosen] * min(NEWEST, listed)).astype(np.int64)]
            is_new = wants_new[chosen] | (self.items.begins[famous] > day)
            item[chosen], there[chosen] = np.where(is_new, new, famous), True
        return item, there

    def _liking(self, account: Ints, item: Ints, rng: np.random.Generator) -> Floats:
        product = self.items.product[item]
        liked = self.people.liked[self.accounts.person[account]]
        suits = (liked == self.catalogue.topic[product][:, None]) @ np.array([1.2, 0.8, 0.5])
        thought = suits - 0.4 + 0.5 * self.catalogue.quality[product] + rng.normal(0, 0.6, len(account))
        return np.asarray(1 / (1 + np.exp(-thought)))
