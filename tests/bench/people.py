"""People for the linkage benchmarks: FEBRL's own files, and generated ones in any number, with the truth beside them."""

from typing import NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from infra.demo import people as demo
from infra.demo.sources import load_febrl, load_movielens
from ml.identity.people import TOKENS, VAULT, person_records

Text = NDArray[np.str_]
MAX_ACCOUNTS_PER_TOKEN = 8
TASTES = 16  # length of an interests vector
KEYS = {"platform": pa.string(), "id": pa.string()}
LETTERS, DIGITS = "abcdefghijklmnopqrstuvwxyz", "0123456789"
NO_INTERESTS = pa.schema(KEYS | {"interests": pa.list_(pa.float32())}).empty_table()


class People(NamedTuple):
    """What ``person_records`` takes; ``accounts`` has the truth in the column ``person``."""

    accounts: pa.Table
    vault: pa.Table
    interests: pa.Table

    def records(self, alone: bool = True) -> pa.Table:
        platforms = self.accounts["platform"].unique().to_pylist() if alone else []
        return person_records(*self, platforms, MAX_ACCOUNTS_PER_TOKEN)


def _people(frame: pd.DataFrame, interests: pa.Table = NO_INTERESTS) -> People:
    """``platform``, ``id``, ``person`` and what there is of TOKENS and VAULT; what is lacking is null."""

    def table(columns: tuple[str, ...]) -> pa.Table:
        whole = frame.reindex(columns=[*KEYS, *columns])
        return pa.table({name: pa.array(whole[name], pa.string(), from_pandas=True) for name in whole})

    accounts = table(TOKENS).append_column("person", pa.array(frame["person"], pa.int64()))
    return People(accounts, table((*VAULT, "full_name")), interests)


def febrl(dataset: str) -> People:
    """FEBRL's records without their social security number: dataset4's two files are two platforms, any other's is one."""
    whole = load_febrl()
    rows = whole[whole["source"] == dataset]
    street = (rows["street_number"].fillna("") + " " + rows["address_1"].fillna("")).str.strip()
    second = (dataset == "dataset4") & (rows["copy"] > 0)
    columns = {"rec_id": "id", "human": "person", "date_of_birth": "birth_date"}
    return _people(rows.rename(columns=columns).assign(platform=np.where(second, "b", "a"), street=street))


def demo_people(seed: int = 42) -> People:
    """The accounts of the three demo platforms, with their e-mail and phone levelled out as on their way into the lake."""
    rng = np.random.default_rng(seed)
    source = load_movielens("full")
    frame = demo.open_accounts(source, demo.settle(len(source.users), rng), load_febrl(), rng)
    local, host = (frame["email"].str.lower().str.split("@").str[part] for part in (0, 1))
    return _people(
        frame.rename(columns={"born": "birth_date"}).assign(
            id=np.arange(len(frame)).astype(str),
            person=pd.factorize(frame["person"])[0],
            email_token=local.str.replace(".", "") + "@" + host,
            phone_token=frame["phone"].str.replace(r"\D", "", regex=True).str[-8:],
        )
    )


def generated(accounts: int, seed: int, strangers: bool = False) -> People:
    """About ``accounts`` accounts on three platforms, 40% of the people on several of them.

    Names, streets and suburbs are FEBRL's and blends of two of FEBRL's, drawn with the skew of real registers (a few
    are everybody's, most are rare). Four in ten people live with others: one address, mostly one surname, at times one
    phone. Every account was typed in by itself: letters are mistyped, fields left out, names swapped or married, homes
    left, birth dates invented.

    ``strangers``: everybody has one account, on one of two platforms, and an e-mail and a phone of their own; two in ten
    live with others, who may be on the other platform.
    """
    rng = np.random.default_rng([seed, accounts])
    number = accounts if strangers else round(accounts / (1 + demo.TWO_PLATFORMS + 2 * demo.THREE_PLATFORMS))
    homes = rng.integers(2, size=(number, 1)) if strangers else demo.settle(number, rng)
    person, slot = np.nonzero(homes >= 0)
    size = len(person)

    source = load_febrl().query("copy == 0")
    pools = {name: source[name].dropna().value_counts() for name in ("given_name", "surname", "suburb", "address_1")}
    given_names, surnames = _blended(pools["given_name"], 12_000, rng), _blended(pools["surname"], 80_000, rng)
    streets, suburbs = _blended(pools["address_1"], 30_000, rng), _blended(pools["suburb"], 8_000, rng)
    regions = source[["postcode", "state"]].dropna().sample(len(suburbs), replace=True, random_state=rng)
    postcodes, states = (regions[name].to_numpy(str) for name in ("postcode", "state"))

    household = rng.integers(number * (4 if strangers else 2), size=number)
    shares = rng.random((2, number)) < [[0.8], [0.3]]  # the surname, the phone
    family = _drawn(surnames, number * 4, rng, skew=0.95, among=25)
    given_name = _drawn(given_names, number, rng, skew=1.05, among=15)[person]
    surname = np.where(shares[0], family[household], _drawn(surnames, number, rng, skew=0.95, among=25))[person]
    born = np.datetime64("1935-01-01") + (rng.beta(2.5, 2, number) * 27_000).astype("m8[D]")
    birth_date = born.astype(str)[person]

    # a tenth of the accounts are from an earlier or a later address
    home = np.where(rng.random(size) < 0.1, rng.integers(number * 4, size=size), household[person])
    street_of = np.strings.add(
        np.strings.add(rng.geometric(0.015, number * 4).astype(str), " "),
        _drawn(streets, number * 4, rng, skew=0.8, among=20),
    )
    suburb_of = _drawn(np.arange(len(suburbs)), number * 4, rng, skew=0.7, among=20)

    swapped = rng.random(size) < 0.02
    surname = np.where(rng.random(size) < 0.015, _drawn(surnames, size, rng, skew=0.95, among=25), surname)
    given_name, surname = np.where(swapped, surname, given_name), np.where(swapped, given_name, surname)
    birth_date = np.where(rng.random(size) < 0.003, "1970-01-01", birth_date)
    written = {
        "given_name": _typed(given_name, rng),
        "surname": _typed(surname, rng),
        "birth_date": _typed(birth_date, rng, DIGITS, wrong=0.04, missing=0.08),
        "street": _typed(street_of[home], rng, wrong=0.12, missing=0.1),
        "suburb": _typed(suburbs[suburb_of[home]], rng, missing=0.06),
        "postcode": _typed(postcodes[suburb_of[home]], rng, DIGITS, wrong=0.03, missing=0.05),
        "state": _typed(states[suburb_of[home]], rng, wrong=0.01, missing=0.08),
        "email_token": _contact(person, slot, 0.9, 0.5, rng),
        "phone_token": _contact(
            np.where(shares[1][person] & (not strangers), -1 - household[person], person), slot, 0.6, 0.7, rng
        ),
    }
    frame = pd.DataFrame({name: pd.array(column, dtype="str") for name, column in written.items()})
    frame = frame.assign(
        platform=np.array(demo.PLATFORMS)[homes[person, slot]], id=np.arange(size).astype(str), person=person
    )
    return _people(frame, _interests(frame, person, rng))


def _blended(pool: pd.Series, size: int, rng: np.random.Generator) -> Text:
    """The pool, most frequent first, and then beginnings of its words with the ends of others."""
    words = np.array(pool.index, dtype=str)
    heads, tails = (
        np.array(part) for part in zip(*((w[: -(-len(w) // 2)], w[-(-len(w) // 2) :]) for w in words), strict=True)
    )
    one, other = rng.integers(len(words), size=(2, 2 * size))
    blends = pd.unique(np.concatenate([words, np.strings.add(heads[one], tails[other])]))
    return np.asarray(blends[:size], dtype=str)


def _drawn(pool: NDArray, size: int, rng: np.random.Generator, skew: float, among: int) -> NDArray:
    """Zipf and Mandelbrot's law: the word of rank r is drawn with weight 1 / (r + among) ** skew."""
    weight = 1 / (np.arange(len(pool)) + among) ** skew
    return pool[
        np.searchsorted(np.cumsum(weight) / weight.sum(), rng.random(size), side="right").clip(max=len(pool) - 1)
    ]


def _typed(
    text: Text, rng: np.random.Generator, alphabet: str = LETTERS, wrong: float = 0.08, missing: float = 0.03
) -> NDArray[np.object_]:
    """The text as people type it: one letter in it replaced, doubled by another, left out or swapped, or None."""
    result = text.astype(object)
    chosen = np.flatnonzero(rng.random(len(text)) < wrong)
    result[chosen] = _mistyped(text[chosen], alphabet, rng).astype(object)
    result[rng.random(len(text)) < missing] = None
    return result


def _mistyped(text: Text, alphabet: str, rng: np.random.Generator) -> Text:
    width = text.dtype.itemsize // 4 + 1
    codes = np.ascontiguousarray(text.astype(f"U{width}")).view(np.uint32).reshape(-1, width)
    length = np.strings.str_len(text)
    replace, insert, delete, swap = (rng.integers(4, size=(len(text), 1)) == kind for kind in range(4))
    column = np.arange(width)
    at = (rng.random(len(text)) * np.maximum(length - 1, 1)).astype(np.int64)[:, None]
    taken = column - (insert & (column > at)) + (delete & (column >= at))
    taken += (swap & (column == at)).astype(np.int64) - (swap & (column == at + 1))
    result = np.take_along_axis(codes, taken.clip(0, width - 1), axis=1)
    typed = np.array([ord(letter) for letter in alphabet], dtype=np.uint32)[rng.integers(len(alphabet), size=len(text))]
    result = np.where((replace | insert) & (column == at), typed[:, None], result)
    return np.ascontiguousarray(result).view(f"U{width}").ravel()


def _contact(
    owner: NDArray[np.int64], slot: NDArray[np.int64], known: float, same: float, rng: np.random.Generator
) -> NDArray[np.object_]:
    """A token for each account that has one: the owner's first, or else one of this account alone."""
    own = (slot == 0) | (rng.random(len(owner)) < same)
    token = np.where(
        own, np.strings.add("o", owner.astype(str)), np.strings.add("a", np.arange(len(owner)).astype(str))
    )
    return np.where(rng.random(len(owner)) < known, token, None)


def _interests(frame: pd.DataFrame, person: NDArray[np.int64], rng: np.random.Generator) -> pa.Table:
    """Seven accounts in ten have done enough to show what they like, which is much of what their person likes."""
    active = rng.random(len(frame)) < 0.7
    taste = rng.gamma(0.3, size=(int(person.max()) + 1, TASTES)).astype(np.float32)
    shown = taste[person[active]] + rng.gamma(0.1, size=(int(active.sum()), TASTES)).astype(np.float32)
    lists = pa.FixedSizeListArray.from_arrays(pa.array(shown.ravel()), TASTES).cast(pa.list_(pa.float32()))
    keys = {name: pa.array(frame.loc[active, name], pa.string()) for name in KEYS}
    return pa.table(keys | {"interests": lists})
