"""Who there is: tastes that go with a person to every platform, accounts, and what people write into their profiles."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from infra.simulate.world import TOPICS, Floats, Ints, World, beginnings

Texts = npt.NDArray[np.object_]

ON_SEVERAL = np.array([0.55, 0.3, 0.1, 0.05])  # share of persons with one, two, three and more platforms
LIKED = 3  # topics that a person likes, most liked first
GIVEN, SURNAMES, CITIES = 2_000, 20_000, 300
TYPED_WRONG = 0.08  # share of names with a typing error
LEFT_OUT = 0.15  # share of each part of a profile that is left out
SAME_EMAIL = 0.5  # share of the persons with several accounts who give the same address everywhere
AGES = ("under 18", "18-24", "25-34", "35-44", "45-49", "50-55", "56+")
CONSONANTS, VOWELS = np.array(list("bdfgklmnprstvz")), np.array(list("aeiou"))


@dataclass(frozen=True)
class Accounts:
    """The accounts of one platform, in the order of their beginning: the row number is what the account's id is made of.

    person: row in `People`. begins and ends: days; ``ends`` is the first day without it.
    """

    person: Ints
    begins: Ints
    ends: Ints


@dataclass(frozen=True)
class People:
    """One row per person. liked: topics, (persons, LIKED) int8. activity: events a day for one of a mean person, (persons,)."""

    world: World
    liked: npt.NDArray[np.int8]
    activity: Floats
    on: npt.NDArray[np.bool_]  # (persons, platforms)

    @classmethod
    def of(cls, world: World) -> "People":
        rng = world.rng("people")
        fame = 1 / np.arange(1, TOPICS + 1) ** 0.7
        # the topics with the largest sum of fame and chance: a draw without replacement by weight
        drawn = np.log(fame) + rng.gumbel(size=(world.persons, TOPICS)).astype(np.float32)
        liked = np.argsort(-drawn, axis=1)[:, :LIKED].astype(np.int8)
        activity = np.minimum(rng.pareto(1.6, world.persons) + 0.1, 40)
        counts = ON_SEVERAL[: world.platforms] / ON_SEVERAL[: world.platforms].sum()
        several = 1 + rng.choice(len(counts), world.persons, p=counts)
        rank = rng.random((world.persons, world.platforms), dtype=np.float32).argsort(axis=1).argsort(axis=1)
        return cls(world, liked, activity / activity.mean(), rank < several[:, None])

    def accounts(self, platform: str) -> Accounts:
        world, rng = self.world, self.world.rng("accounts", platform)
        person = np.flatnonzero(self.on[:, world.names.index(platform)])
        begins = beginnings(world, len(person), rng)
        stops = rng.random(len(person)) < world.churn
        ends = np.where(stops, np.maximum(begins, 0) + 1 + rng.integers(0, world.days, len(person)), 2 * world.days + 1)
        order = np.lexsort((person, begins))
        return Accounts(person[order], begins[order], ends[order])

    @cached_property
    def _names(self) -> tuple[Ints, Ints]:
        """Row of each person's given name and surname; a few are common and most are rare."""
        rng = self.world.rng("names")
        return _rank(GIVEN, self.world.persons, rng), _rank(SURNAMES, self.world.persons, rng)

    @cached_property
    def _words(self) -> tuple[Texts, Texts, Texts]:
        """Every given name, surname and city that there is."""
        sizes = {"given names": GIVEN, "surnames": SURNAMES, "cities": CITIES}
        first, last, places = (words(self.world, part, size) for part, size in sizes.items())
        return first, last, places

    def profiles(self, accounts: Accounts, platform: str) -> dict[str, Texts]:
        """What the platform knows of each account: texts, None where the person left it out."""
        world, size = self.world, len(accounts.person)
        rng, own = world.rng("profiles", platform), world.rng("profiles")
        given, surname = (names[accounts.person] for names in self._names)
        born = own.integers(-22_000, 2_500, world.persons)[accounts.person]  # days since 1970
        city = _rank(CITIES, world.persons, own)[accounts.person]
        female, same = own.random(world.persons) < 0.5, own.random(world.persons) < SAME_EMAIL
        first, last, places = self._words
        # who gives the same address everywhere gives one with the person's number, all others one with the account's
        number = np.where(same[accounts.person], accounts.person, world.persons + rng.integers(0, 10**9, size))
        email = first[given] + "." + last[surname] + number.astype(str).astype(object) + "@example.net"
        age = np.clip(np.searchsorted([18, 25, 35, 45, 50, 56], 31 - born / 365.25, side="right"), 0, len(AGES) - 1)
        return {
            "given_name": _left_out(_typed(first, given, rng), rng),
            "surname": _left_out(_typed(last, surname, rng), rng),
            "email": _left_out(email, rng),
            "birth_date": _left_out(born.astype("datetime64[D]").astype(str).astype(object), rng),
            "city": _left_out(_typed(places, city, rng), rng),
            "age_band": _left_out(np.array(AGES, dtype=object)[age], rng),
            "gender": _left_out(np.where(female[accounts.person], "F", "M").astype(object), rng),
        }


def words(world: World, part: str, size: int) -> Texts:
    """So many different words of two to four syllables."""
    rng, found = world.rng(part), np.empty(0, dtype=object)
    while len(found) < size:
        syllables = [
            rng.choice(CONSONANTS, (2 * size,)).astype(object) + rng.choice(VOWELS, 2 * size) for _ in range(4)
        ]
        length = rng.integers(2, 5, 2 * size)
        made = syllables[0] + syllables[1]
        made = np.where(length > 2, made + syllables[2], made)
        made = np.where(length > 3, made + syllables[3], made)
        _, first = np.unique(np.concatenate([found, made]).astype(str), return_index=True)
        found = np.concatenate([found, made])[np.sort(first)]
    return np.asarray(found[:size])


def _rank(size: int, count: int, rng: np.random.Generator) -> Ints:
    """``count`` row numbers below ``size``, the first ones often: the logarithm is uniform, as in Zipf's law."""
    return np.asarray(np.exp(rng.random(count) * np.log(size)).astype(np.int64) - 1)


def _typed(names: Texts, chosen: Ints, rng: np.random.Generator) -> Texts:
    """The chosen names as people type them: some with two letters exchanged, one lost or one twice. Errors are made once per name."""
    wrong = [
        names,
        *(np.array([error(name) for name in names], dtype=object) for error in (_exchanged, _lost, _doubled)),
    ]
    kind = np.where(rng.random(len(chosen)) < TYPED_WRONG, rng.integers(1, len(wrong), len(chosen)), 0)
    return np.asarray(np.stack(wrong)[kind, chosen])


def _exchanged(name: str) -> str:
    return name[:2] + name[3] + name[2] + name[4:]


def _lost(name: str) -> str:
    return name[:-2] + name[-1]


def _doubled(name: str) -> str:
    return name[:2] + name[1] + name[2:]


def _left_out(texts: Texts, rng: np.random.Generator) -> Texts:
    texts = texts.copy()
    texts[rng.random(len(texts)) < LEFT_OUT] = None
    return texts
