"""Who lives where: users spread over the platforms, each with a FEBRL person, an e-mail and a phone.

About 40% of the users have accounts on two or three platforms. One of a person's accounts carries the original FEBRL
record, each other one its own corrupted duplicate out of FEBRL: it has enough of them (1,111 people with two or more,
5,982 with exactly one) that none needs to be made up. FEBRL's birth dates and MovieLens' age bands know nothing of each
other: a platform's age band is what the user said, not what the birth date implies.
"""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from infra.demo.sources import MovieLens

PLATFORMS = ("stream", "shop", "forum")
PLATFORM_WEIGHTS = (0.42, 0.33, 0.25)
TWO_PLATFORMS, THREE_PLATFORMS = 0.28, 0.12
NEWCOMERS = 0.01

SAME_CONTACT = 0.6
HUB_EMAIL = "info@example.com"
EMAIL_DOMAINS = np.array(["example.com", "example.org", "example.net"])
CONTACT_NUMBERS = range(10, 100_000)


def settle(users: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Platforms of each user in random order, -1 where a user has fewer than three; shape (users, 3)."""
    count = np.ones(users, dtype=np.int64)
    count[: round(users * THREE_PLATFORMS)] = 3
    count[round(users * THREE_PLATFORMS) : round(users * (THREE_PLATFORMS + TWO_PLATFORMS))] = 2
    rng.shuffle(count)
    # sorting by exponential waiting times draws without replacement by weight
    order = np.argsort(rng.exponential(size=(users, len(PLATFORMS))) / np.array(PLATFORM_WEIGHTS), axis=1)
    return np.where(np.arange(len(PLATFORMS)) < count[:, None], order, -1)


def open_accounts(
    source: MovieLens, homes: NDArray[np.int64], febrl: pd.DataFrame, rng: np.random.Generator
) -> pd.DataFrame:
    """One row per account, newcomers (people with an account and no event yet) last.

    Columns: user (row in source.users; newcomers count on from there), person 'ml:1m_17' or 'new:3', platform, slot
    (which of the person's accounts: 0 carries the original record), platforms (how many the person has), given_name,
    surname, street, suburb, postcode, state, born 'YYYY-MM-DD' as FEBRL has it (a corrupted one may be no date),
    age_band, female, email, phone.
    """
    newcomers = round(len(homes) * NEWCOMERS)
    arrivals = np.full((newcomers, len(PLATFORMS)), -1)
    arrivals[:, 0] = rng.choice(len(PLATFORMS), newcomers, p=PLATFORM_WEIGHTS)
    everyone = np.vstack([homes, arrivals])
    likeness = np.concatenate([np.arange(len(homes)), rng.integers(len(homes), size=newcomers)])
    person = np.concatenate(["ml:" + source.users["user"], [f"new:{n + 1}" for n in range(newcomers)]])

    count = (everyone >= 0).sum(axis=1)
    user, slot = np.nonzero(everyone >= 0)
    accounts = pd.DataFrame(
        {
            "user": user,
            "person": person[user],
            "platform": np.array(PLATFORMS)[everyone[user, slot]],
            "slot": slot,
            "platforms": count[user],
            "human": _cast(count, febrl, rng)[user],
            "age_band": source.users["age_band"].to_numpy()[likeness[user]],
            "female": source.users["female"].to_numpy()[likeness[user]],
        }
    )
    records = febrl.assign(
        street=(febrl["street_number"].fillna("") + " " + febrl["address_1"].fillna("")).str.strip().replace("", None),
        born=febrl["date_of_birth"].str.replace(r"^(.{4})(..)(.*)$", r"\1-\2-\3", regex=True),
    )
    details = ["given_name", "surname", "street", "suburb", "postcode", "state", "born"]
    accounts = accounts.merge(
        records[["human", "copy", *details]], left_on=["human", "slot"], right_on=["human", "copy"], how="left"
    )
    original = records[records["copy"] == 0].set_index("human").loc[accounts["human"]]
    email, phone = _contacts(accounts, original, rng)
    return accounts.drop(columns=["human", "copy"]).assign(email=email, phone=phone)


def _cast(platforms: NDArray[np.int64], febrl: pd.DataFrame, rng: np.random.Generator) -> NDArray[np.int64]:
    """A different FEBRL human for each person, one with enough duplicates for the person's other accounts."""
    copies = febrl.groupby("human").size().to_numpy()
    free = rng.permutation(len(copies))
    human = np.empty(len(platforms), dtype=np.int64)
    for needed in (3, 2, 1):
        roles = np.flatnonzero(platforms == needed)
        fitting = free[copies[free] >= needed][: len(roles)]
        if len(fitting) < len(roles):
            raise ValueError(
                f"demo: FEBRL has too few people with {needed} records. Needed {len(roles)}, received {len(fitting)}."
            )
        human[roles] = fitting
        free = free[~np.isin(free, fitting)]
    return human


def _contacts(
    accounts: pd.DataFrame, original: pd.DataFrame, rng: np.random.Generator
) -> tuple[NDArray[np.object_], NDArray[np.object_]]:
    """E-mail and phone of each account, None where it has none.

    For SAME_CONTACT of the people with several accounts the e-mail, the phone or both are the same everywhere (written
    differently); whatever is not the same is missing or another one. Hard negatives among people with one account: a
    hub e-mail many of them gave, and a few family phones.
    """
    size, people = len(accounts), int(accounts["user"].max()) + 1
    user, slot = accounts["user"].to_numpy(), accounts["slot"].to_numpy()

    several = np.unique(user[accounts["platforms"] > 1])
    linked = rng.permutation(several)[: round(len(several) * SAME_CONTACT)]
    same_email, same_phone = np.zeros(people, dtype=bool), np.zeros(people, dtype=bool)
    by = rng.choice(["email", "phone", "both"], len(linked), p=[0.45, 0.25, 0.3])
    same_email[linked[by != "phone"]] = True
    same_phone[linked[by != "email"]] = True

    # numbers are drawn without replacement, so two contacts are equal only where the same number is used on purpose
    number = rng.permutation(np.array(CONTACT_NUMBERS))[: people + size]
    line = rng.permutation(10_000_000)[: people + size]
    own = np.arange(size) + people
    has_email = same_email[user] | (rng.random(size) < np.where(slot == 0, 0.95, 0.5))
    has_phone = same_phone[user] | (rng.random(size) < np.where(slot == 0, 0.75, 0.5))
    use_email = np.where(same_email[user] | (slot == 0), user, own)
    use_phone = np.where(same_phone[user] | (slot == 0), user, own)

    local = (original["given_name"].fillna("") + "." + original["surname"].fillna("")).str.replace(
        "[^a-z.]", "", regex=True
    )
    name = np.array(local.str.strip(".").replace("", "reader"), dtype=object)
    domain = EMAIL_DOMAINS[number % len(EMAIL_DOMAINS)].astype(object)
    email = name + number[use_email].astype(str).astype(object) + "@" + domain[use_email]
    digits = np.char.zfill(line.astype(str), 8)[use_phone].astype(object)

    single = rng.permutation(np.flatnonzero(accounts["platforms"] == 1))
    hub, single = np.split(single, [int(np.clip(people // 200, 12, 30))])
    families = np.resize([2, 3, 4], max(2, people // 1000))
    for family in np.split(single[: families.sum()], families.cumsum()[:-1]):
        digits[family] = digits[family[0]]
        has_phone[family] = True

    email, phone = _spelt_email(email, rng), _spelt_phone(digits, rng)
    email[~has_email] = phone[~has_phone] = None
    email[hub] = HUB_EMAIL
    return email, phone


def _spelt_email(email: NDArray[np.object_], rng: np.random.Generator) -> NDArray[np.object_]:
    """The same address as people type it: as it is, capitalised, or without the dots of the local part."""
    address = pd.Series(email, dtype=str)
    style = rng.choice(3, len(address), p=[0.6, 0.2, 0.2])
    undotted = address.str.replace(r"\.(?=.*@)", "", regex=True)
    return np.choose(
        style, [address.to_numpy(object), address.str.capitalize().to_numpy(object), undotted.to_numpy(object)]
    )


def _spelt_phone(digits: NDArray[np.object_], rng: np.random.Generator) -> NDArray[np.object_]:
    """The same Australian mobile number, eight digits after the 4, in one of four spellings."""
    d = pd.Series(digits, dtype=str)
    spaced = d.str[:2] + " " + d.str[2:5] + " " + d.str[5:]
    spellings = ["+614" + d, "04" + d, "+61 4" + spaced, "04" + spaced]
    return np.choose(rng.integers(len(spellings), size=len(d)), [s.to_numpy(object) for s in spellings])
