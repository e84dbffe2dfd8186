"""What there is: products with a topic, on one platform or on several, of which new ones come every day."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from infra.simulate.people import words
from infra.simulate.world import TOPICS, Floats, Ints, World, beginnings

ON_PLATFORM = 0.5  # share of the products that each platform has, beside those that no other has
WORDS = 3_000  # that titles are made of
UNAVAILABLE = 0.03


@dataclass(frozen=True)
class Items:
    """One platform's items in the order of their beginning, so that those of a day are the first ones. The row number is the id.

    product: row in `Catalogue`. begins: day. of_topic: rows of each topic in the same order.
    """

    product: Ints
    begins: Ints
    of_topic: tuple[Ints, ...]


@dataclass(frozen=True)
class Catalogue:
    """One row per product. quality: what its likers think of it beside their tastes, a standard normal."""

    world: World
    topic: npt.NDArray[np.int8]
    quality: Floats
    price: Floats
    year: Ints
    on: npt.NDArray[np.bool_]  # (items, platforms)

    @classmethod
    def of(cls, world: World) -> "Catalogue":
        rng, size = world.rng("catalogue"), world.items
        fame = 1 / np.arange(1, TOPICS + 1) ** 0.7
        on = rng.random((size, world.platforms)) < ON_PLATFORM
        on[np.arange(size), rng.integers(0, world.platforms, size)] = True
        topic = rng.choice(TOPICS, size, p=fame / fame.sum()).astype(np.int8)
        return cls(
            world,
            topic,
            rng.normal(0, 1, size),
            np.asarray(np.exp(rng.normal(2.7, 0.6, size)).round(2), np.float64),
            world.ends.year - rng.geometric(0.06, size) + 1,
            on,
        )

    def items(self, platform: str) -> Items:
        rng = self.world.rng("items", platform)
        product = np.flatnonzero(self.on[:, self.world.names.index(platform)])
        begins = beginnings(self.world, len(product), rng)
        order = np.lexsort((product, begins))
        product, begins = product[order], begins[order]
        return Items(product, begins, tuple(np.flatnonzero(self.topic[product] == topic) for topic in range(TOPICS)))

    @cached_property
    def titles(self) -> npt.NDArray[np.object_]:
        """One title per product: two or three words of its own, so that most titles are of one product."""
        rng, vocabulary = self.world.rng("titles"), words(self.world, "words", WORDS)
        chosen = vocabulary[rng.integers(0, WORDS, (self.world.items, 3))]
        return np.asarray(chosen[:, 0] + " " + chosen[:, 1] + " " + chosen[:, 2])
