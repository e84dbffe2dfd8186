"""What may be wrong with one night's load: kinds and strengths, as functions from good rows to bad ones."""

from collections.abc import Callable
from datetime import date, timedelta
from typing import Any

import numpy as np
import pandas as pd

from tests.expectations.generated import CATEGORIES, Generated, Tables

Corruption = Callable[[Generated, date], Tables]


def random(night: date) -> np.random.Generator:
    return np.random.default_rng(night.toordinal())


def column(
    contract: str, name: str, change: Callable[[pd.Series, np.random.Generator], Any], share: float = 1.0
) -> Corruption:
    """Change ``name`` in a share of tonight's rows."""

    def corrupt(platform: Generated, night: date) -> Tables:
        load = platform.load(night)
        rows = load[contract].copy()
        chosen = random(night).random(len(rows)) < share
        changed = pd.Series(change(rows[name], random(night)), index=rows.index, dtype=object)
        rows[name] = changed.where(chosen, rows[name].astype(object))
        return {**load, contract: rows}

    return corrupt


def rows(contract: str, change: Callable[[pd.DataFrame, Generated, date], pd.DataFrame]) -> Corruption:
    """Replace tonight's rows of a contract."""

    def corrupt(platform: Generated, night: date) -> Tables:
        load = platform.load(night)
        return {**load, contract: change(load[contract].copy(), platform, night).reset_index(drop=True)}

    return corrupt


def everything(contract: str, change: Callable[[pd.DataFrame, np.random.Generator], pd.DataFrame]) -> Corruption:
    """Send all that is known of a contract again, changed: a bulk update."""

    def corrupt(platform: Generated, night: date) -> Tables:
        load = platform.load(night)
        full = getattr(platform, contract)
        known = full[full["known_at"] < pd.Timestamp(night)].drop_duplicates(full.columns[0], keep="last").copy()
        known["known_at"] = pd.Timestamp(night) - pd.Timedelta(hours=2)
        return {**load, contract: change(known.reset_index(drop=True), random(night))}

    return corrupt


def _set(**values: Any) -> Callable[[pd.DataFrame, np.random.Generator], pd.DataFrame]:
    return lambda known, rng: known.assign(**values)


def _new_ids(events: pd.DataFrame, mark: str) -> pd.DataFrame:
    return events.assign(event_id=[f"{mark}{number}" for number in range(len(events))])


def half(events: pd.DataFrame, platform: Generated, night: date) -> pd.DataFrame:
    return events[random(night).random(len(events)) < 0.5]


def morning(events: pd.DataFrame, platform: Generated, night: date) -> pd.DataFrame:
    """The feed broke off at 14:00."""
    return events[events["known_at"] < pd.Timestamp(night) - pd.Timedelta(hours=10)]


def doubled(events: pd.DataFrame, platform: Generated, night: date) -> pd.DataFrame:
    return pd.concat([events, _new_ids(events, "x")])


def replayed(events: pd.DataFrame, platform: Generated, night: date) -> pd.DataFrame:
    """Yesterday's load once more, beside tonight's, under new ids."""
    again = _new_ids(platform.load(night - timedelta(1))["events"], "x")
    again["known_at"] = pd.Timestamp(night) - pd.Timedelta(hours=3)
    return pd.concat([events, again])


def instead(events: pd.DataFrame, platform: Generated, night: date) -> pd.DataFrame:
    """Last week's load instead of tonight's, under new ids, at its old times."""
    again = _new_ids(platform.load(night - timedelta(7))["events"], "x")
    again["known_at"] = again["known_at"] + pd.Timedelta(days=7)
    return again


def reused(events: pd.DataFrame, platform: Generated, night: date) -> pd.DataFrame:
    """The counter of ids began anew: tonight's ids are those of last week's events."""
    before = platform.load(night - timedelta(7))["events"]["event_id"].to_numpy()
    return events.assign(event_id=[before[n % len(before)] if n < len(before) else f"z{n}" for n in range(len(events))])


def shuffled_accounts(events: pd.DataFrame, platform: Generated, night: date) -> pd.DataFrame:
    """Each event on the account of another one of tonight."""
    return events.assign(account_id=random(night).permutation(events["account_id"].to_numpy()))


def renumbered_accounts(events: pd.DataFrame, platform: Generated, night: date) -> pd.DataFrame:
    """Each account is taken for another one that exists."""
    ids = platform.accounts["account_id"].drop_duplicates().to_numpy()
    return events.assign(
        account_id=events["account_id"].map(dict(zip(ids, random(night).permutation(ids), strict=True)))
    )


def shuffled_items(events: pd.DataFrame, platform: Generated, night: date) -> pd.DataFrame:
    ids = platform.items["item_id"].drop_duplicates().to_numpy()
    return events.assign(item_id=events["item_id"].map(dict(zip(ids, random(night).permutation(ids), strict=True))))


def bot(share: float) -> Callable[[pd.DataFrame, Generated, date], pd.DataFrame]:
    """One account adds this share of a night's events."""

    def add(events: pd.DataFrame, platform: Generated, night: date) -> pd.DataFrame:
        extra = events.sample(max(30, int(share * len(events))), replace=True, random_state=7)
        return pd.concat([events, _new_ids(extra, "b").assign(account_id=events["account_id"].iloc[0])])

    return add


def botnet(events: pd.DataFrame, platform: Generated, night: date) -> pd.DataFrame:
    """Many known accounts push one item."""
    accounts = (
        platform.accounts["account_id"].drop_duplicates().sample(int(0.3 * len(events)), replace=True, random_state=7)
    )
    extra = _new_ids(events.sample(len(accounts), replace=True, random_state=8), "b")
    return pd.concat([events, extra.assign(account_id=accounts.to_numpy(), item_id=platform.items["item_id"].iloc[5])])


def sign_ups(accounts: pd.DataFrame, platform: Generated, night: date) -> pd.DataFrame:
    """Ten times the known daily sign-ups in one night."""
    count = max(200, 10 * len(accounts))
    wave = platform.accounts.sample(count, replace=True, random_state=7).reset_index(drop=True)
    moment = pd.Timestamp(night) - pd.Timedelta(hours=5)
    wave = wave.assign(account_id=[f"u9{n:05d}" for n in range(count)], email_token=[f"w{n}" for n in range(count)])
    return pd.concat([accounts, wave.assign(created_at=moment, known_at=moment, is_deleted=False)])


def mixed_up(platform: Generated, night: date) -> Tables:
    """The load of another platform."""
    load = platform.load(night)
    other = load["events"].copy()
    other["account_id"] = [f"C{name[1:]}" for name in other["account_id"]]
    other["item_id"] = [f"DVD{name[2:]}" for name in other["item_id"]]
    return {**load, "events": other}


def _late_week(platform: Generated, night: date) -> Tables:
    load = platform.load(night)
    return {**load, "events": load["events"].assign(occurred_at=load["events"]["occurred_at"] - pd.Timedelta(days=7))}


null = lambda values, rng: None  # noqa: E731

CORRUPTIONS: dict[str, Corruption] = {
    # amounts
    "events: none": rows("events", lambda events, *_: events.iloc[:0]),
    "events: half": rows("events", half),
    "events: a third": rows("events", lambda events, platform, night: events.sample(frac=0.33, random_state=7)),
    "events: until the afternoon": rows("events", morning),
    "events: twice under new ids": rows("events", doubled),
    "events: yesterday again under new ids": rows("events", replayed),
    "events: last week instead": rows("events", instead),
    # ids
    "events: ids reused": rows("events", reused),
    "event_id in upper case": column("events", "event_id", lambda ids, _: ids.str.upper()),
    "account_id in upper case": column("events", "account_id", lambda ids, _: ids.str.upper()),
    "account_id with a blank": column("events", "account_id", lambda ids, _: ids + " "),
    "account_id with .0": column("events", "account_id", lambda ids, _: ids + ".0"),
    "account_id without leading zeros": column(
        "events", "account_id", lambda ids, _: "u" + ids.str[1:].str.lstrip("0")
    ),
    "account_id unknown in a fifth": column("events", "account_id", lambda ids, _: "u8" + ids.str[2:], 0.2),
    "item_id in upper case": column("events", "item_id", lambda ids, _: ids.str.upper(), 0.5),
    "item_id unknown in a fifth": column("events", "item_id", lambda ids, _: "i-9" + ids.str[3:], 0.2),
    "account_id constant": column("events", "account_id", lambda ids, _: ids.iloc[0]),
    "item_id constant": column("events", "item_id", lambda ids, _: ids.iloc[0]),
    "accounts shuffled": rows("events", shuffled_accounts),
    "accounts renumbered": rows("events", renumbered_accounts),
    "items renumbered": rows("events", shuffled_items),
    "another platform's events": mixed_up,
    # nulls, constants, codes of events
    "account_id null in a tenth": column("events", "account_id", null, 0.1),
    "occurred_at null": column("events", "occurred_at", null),
    "value null": column("events", "value", null),
    "device null": column("events", "device", null),
    "device constant": column("events", "device", lambda *_: "mobile"),
    "device unseen in a third": column("events", "device", lambda *_: "tv", 0.3),
    "event_type null": column("events", "event_type", null),
    "event_type constant": column("events", "event_type", lambda *_: "view"),
    "event_type recoded": column("events", "event_type", lambda types, _: types.str.upper()),
    "a new type in a fifth": column("events", "event_type", lambda *_: "impression", 0.2),
    "purchases are gone": rows("events", lambda events, *_: events[events["event_type"] != "purchase"]),
    # units, scales, clocks
    "value in percent": column("events", "value", lambda values, _: values * 100),
    "value shuffled": column("events", "value", lambda values, rng: rng.permutation(values.to_numpy())),
    "item_id shuffled": column("events", "item_id", lambda ids, rng: rng.permutation(ids.to_numpy())),
    "value flipped": column("events", "value", lambda values, _: 1.2 - values),
    "value squeezed": column("events", "value", lambda values, _: values / 5),
    "occurred_at five hours later": column("events", "occurred_at", lambda times, _: times + pd.Timedelta(hours=5)),
    "occurred_at five hours earlier": column("events", "occurred_at", lambda times, _: times - pd.Timedelta(hours=5)),
    "occurred_at one hour later": column("events", "occurred_at", lambda times, _: times + pd.Timedelta(hours=1)),
    "occurred_at at midnight": column("events", "occurred_at", lambda times, _: times.dt.normalize()),
    "occurred_at a day earlier": column("events", "occurred_at", lambda times, _: times - pd.Timedelta(days=1)),
    "occurred_at a week earlier": _late_week,
    "occurred_at in 1970": column("events", "occurred_at", lambda *_: pd.Timestamp("1970-01-12 13:46:40")),
    # robots
    "a robot with a tenth": rows("events", bot(0.15)),
    "a robot with half": rows("events", bot(1.0)),
    "a botnet pushes one item": rows("events", botnet),
    "a wave of sign-ups": rows("accounts", sign_ups),
    # accounts
    "accounts: all without e-mail": everything("accounts", _set(email_token=None)),
    "accounts: one e-mail for all": everything("accounts", _set(email_token="e0")),
    "accounts: e-mails shuffled": everything(
        "accounts", lambda known, rng: known.assign(email_token=rng.permutation(known["email_token"].to_numpy()))
    ),
    "accounts: all deleted": everything("accounts", _set(is_deleted=True)),
    "accounts: a tenth deleted": everything(
        "accounts", lambda known, rng: known[rng.random(len(known)) < 0.1].assign(is_deleted=True)
    ),
    "accounts: age null": everything("accounts", _set(age_band=None)),
    "accounts: age recoded": everything(
        "accounts",
        lambda known, rng: known.assign(
            age_band=known["age_band"].map({"18-24": "1", "25-34": "2", "35-44": "3", "45-55": "4", "56+": "5"})
        ),
    ),
    "accounts: gender swapped": everything(
        "accounts", lambda known, rng: known.assign(gender=known["gender"].map({"F": "M", "M": None}))
    ),
    "accounts: gender constant": everything("accounts", _set(gender="F")),
    "accounts: ids in upper case": everything(
        "accounts", lambda known, rng: known.assign(account_id=known["account_id"].str.upper())
    ),
    "accounts: all signed up tonight": everything(
        "accounts", lambda known, rng: known.assign(created_at=known["known_at"])
    ),
    "accounts: created_at null": everything("accounts", _set(created_at=pd.NaT)),
    # items
    "items: price in cents": everything("items", lambda known, rng: known.assign(price=known["price"] * 100)),
    "items: price in cents, of tonight's alone": column("items", "price", lambda prices, _: prices * 100),
    "items: price null": everything("items", _set(price=np.nan)),
    "items: price zero": everything("items", _set(price=0.0)),
    "items: none available": everything("items", _set(is_available=False)),
    "items: a tenth withdrawn": everything(
        "items", lambda known, rng: known[rng.random(len(known)) < 0.15].assign(is_available=False)
    ),
    "items: categories null": everything("items", _set(categories="")),
    "items: categories recoded": everything(
        "items", lambda known, rng: known.assign(categories=["c" + name.split()[1] for name in known["categories"]])
    ),
    "items: categories shuffled": everything(
        "items",
        lambda known, rng: known.assign(categories=rng.permutation(CATEGORIES)[rng.integers(0, 15, len(known))]),
    ),
    "items: all listed tonight": everything("items", lambda known, rng: known.assign(created_at=known["known_at"])),
    "items: years wrong": everything(
        "items", lambda known, rng: known.assign(release_year=known["release_year"] % 100)
    ),
    "items: titles shuffled": everything(
        "items", lambda known, rng: known.assign(title=rng.permutation(known["title"].to_numpy()))
    ),
    "items: one title for all": everything("items", _set(title="N/A")),
    "items: titles wrongly decoded": everything(
        "items", lambda known, rng: known.assign(title=known["title"] + " cafÃ©")
    ),
    "items: titles poisoned": everything(
        "items", lambda known, rng: known.assign(title=known["title"] + " BUY NOW http://example.com")
    ),
    "items: title null": everything("items", _set(title=None)),
    "items: release_year null": everything("items", _set(release_year=None)),
    "items: a load of another catalogue": everything(
        "items", lambda known, rng: known.assign(item_id="x" + known["item_id"], title="The " + known["title"])
    ),
}
