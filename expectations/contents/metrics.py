"""The metrics of gate `contents`: what is compared of a load, and in which words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Kind = Literal["volume", "delay", "share", "mix"]
Family = Literal[
    "volume", "quarantine", "references", "repeats", "values", "times", "behaviour", "accounts", "catalogue"
]
AtMost = Literal["max_quarantine", "max_unknown", "max_changed"]  # of `usual.Limits`


@dataclass(frozen=True)
class Metric:
    """What is compared.

    kind      volume: a number of a day; delay: minutes; share: the share of bucket ``bucket``; mix: all buckets together
    bucket    of a share. None: each bucket but `(kept)` is a share of its own
    named     whether a message may name buckets: they are ours, or a seed's, and never what a source wrote
    rises     only a rise matters: there cannot be too few of them
    warns     it never stops: a platform may do so on purpose
    of_times  when rows came: only warns of a load that covers several nights, since what was late is old
    of_known  of all accounts or items that the platform had before, not of the rows of the load
    unseen    whether buckets never seen are judged by themselves; not where an eager account or a busy night makes new ones
    at_most   the limit beyond which the whole load is of no use, whatever the past is
    floor     how much larger than elsewhere a difference has to be before it matters
    """

    name: str
    kind: Kind
    family: Family
    words: str
    bucket: str | None = None
    named: bool = False
    rises: bool = False
    warns: bool = False
    of_times: bool = False
    of_known: bool = False
    unseen: bool = True
    at_most: AtMost | None = None
    floor: float = 1.0

    @property
    def contract(self) -> str:
        return self.name.partition(".")[0]


METRICS = (
    Metric("events.rows", "volume", "volume", "events a night"),
    Metric("events.accounts", "volume", "volume", "active accounts a night"),
    Metric("events.items", "volume", "volume", "items with events a night"),
    Metric("events.newest", "delay", "volume", "hours between the newest event and the end of the night"),
    Metric(
        "events.status",
        "share",
        "repeats",
        "share of events that came before under the same id",
        "duplicate",
        rises=True,
    ),
    Metric(
        "events.quarantine",
        "share",
        "quarantine",
        "share of events in quarantine",
        named=True,
        rises=True,
        at_most="max_quarantine",
    ),
    Metric("events.event_type", "mix", "values", "types of event", named=True),
    Metric("events.value", "mix", "values", "values of events", named=True),
    Metric("events.device", "mix", "values", "devices of events"),
    Metric("events.category", "mix", "values", "categories of events"),
    Metric("events.hour", "mix", "times", "hours of the day of events (UTC)", named=True),
    Metric("events.age", "mix", "times", "minutes from event to arrival (power of two)", named=True, of_times=True),
    Metric("events.days_old", "mix", "times", "calendar days from event to arrival (UTC)", named=True, of_times=True),
    Metric(
        "events.account_known",
        "share",
        "references",
        "share of active accounts that are unknown",
        "unknown",
        rises=True,
        at_most="max_unknown",
    ),
    Metric(
        "events.item_known",
        "share",
        "references",
        "share of events of unknown items",
        "unknown",
        rises=True,
        at_most="max_unknown",
    ),
    Metric("events.account_shape", "mix", "references", "characters of active accounts' ids", named=True),
    Metric("events.item_shape", "mix", "references", "characters of item ids in events", named=True),
    Metric("events.event_shape", "mix", "references", "characters of event ids", named=True),
    Metric(
        "events.account_tenure",
        "mix",
        "behaviour",
        "minutes from sign-up to event (power of two) of accounts",
        named=True,
    ),
    Metric("events.busiest_account", "volume", "behaviour", "events of the busiest account", rises=True),
    Metric(
        "events.account_load",
        "mix",
        "behaviour",
        "events of one account in a night (half powers of two)",
        named=True,
        unseen=False,
    ),
    # a release that everybody wants may have a third of a night; robots that push one item are seen by more than this
    Metric("events.top_item", "share", "behaviour", "share of events on the most popular item", "true", floor=2.5),
    Metric(
        "events.item_load", "mix", "behaviour", "share of one item in a night (power of two)", named=True, unseen=False
    ),
    Metric(
        "events.repeated",
        "share",
        "repeats",
        "share of events that came before under another id",
        "true",
        rises=True,
        at_most="max_unknown",
    ),
    Metric(
        "events.corrected",
        "share",
        "repeats",
        "share of events whose id came before with other content",
        "true",
        rises=True,
    ),
    Metric("events.returning", "share", "behaviour", "share of events of accounts active in the last weeks", "true"),
    Metric("events.known_pair", "share", "behaviour", "share of events on an item that the account had before", "true"),
    Metric(
        "events.known_taste", "share", "behaviour", "share of events in a category that the account had before", "true"
    ),
    Metric(
        "events.same_category",
        "share",
        "behaviour",
        "share of events in the category of the same account's event before",
        "true",
    ),
    Metric(
        "events.value_agrees",
        "share",
        "behaviour",
        "share of events whose value is high or low as their item's were",
        "true",
        floor=0.5,
    ),
    Metric("events.in_session", "share", "behaviour", "share of events soon after another of the same account", "true"),
    Metric("accounts.rows", "volume", "accounts", "changed accounts a night", warns=True),
    Metric("accounts.new", "volume", "accounts", "new accounts a night"),
    Metric(
        "accounts.lost",
        "share",
        "accounts",
        "share of known accounts deleted in a night",
        "true",
        rises=True,
        of_known=True,
        at_most="max_changed",
    ),
    Metric(
        "accounts.changed",
        "share",
        "accounts",
        "share of known accounts that changed",
        named=True,
        rises=True,
        of_known=True,
        at_most="max_changed",
    ),
    Metric(
        "accounts.status",
        "share",
        "repeats",
        "share of account rows that came before",
        "duplicate",
        rises=True,
        warns=True,
    ),
    Metric(
        "accounts.quarantine",
        "share",
        "quarantine",
        "share of account rows in quarantine",
        named=True,
        rises=True,
        at_most="max_quarantine",
    ),
    Metric("accounts.email", "share", "accounts", "share of accounts without e-mail", "(none)"),
    Metric("accounts.phone", "share", "accounts", "share of accounts without phone", "(none)"),
    Metric("accounts.age_band", "mix", "accounts", "age bands of accounts"),
    Metric("accounts.gender", "mix", "accounts", "genders of accounts"),
    Metric("accounts.deleted", "share", "accounts", "share of account rows that are deleted", "true"),
    Metric("accounts.shape", "mix", "accounts", "characters of account ids", named=True),
    Metric(
        "accounts.tenure",
        "mix",
        "accounts",
        "minutes from sign-up to arrival of new accounts (power of two)",
        named=True,
        warns=True,
    ),
    Metric(
        "accounts.contacts_changed",
        "share",
        "accounts",
        "share of changed accounts with another e-mail or phone",
        "true",
        rises=True,
    ),
    Metric(
        "accounts.email_shared",
        "share",
        "accounts",
        "share of accounts with an e-mail of another account",
        "true",
        rises=True,
    ),
    Metric("items.rows", "volume", "catalogue", "changed items a night", warns=True),
    Metric("items.new", "volume", "catalogue", "new items a night", warns=True),
    Metric("items.catalogue", "volume", "catalogue", "items that can be recommended", of_known=True),
    Metric(
        "items.listed",
        "share",
        "catalogue",
        "new items beside the known ones",
        "true",
        rises=True,
        of_known=True,
        floor=1.6,
    ),
    Metric(
        "items.withdrawn",
        "share",
        "catalogue",
        "share of the catalogue withdrawn in a night",
        "true",
        rises=True,
        of_known=True,
        at_most="max_changed",
    ),
    Metric(
        "items.returned",
        "share",
        "catalogue",
        "share of the catalogue available again",
        "true",
        rises=True,
        of_known=True,
        floor=2.0,
        at_most="max_changed",
    ),
    Metric(
        "items.changed",
        "share",
        "catalogue",
        "share of known items that changed",
        named=True,
        rises=True,
        of_known=True,
        at_most="max_changed",
    ),
    Metric(
        "items.status", "share", "repeats", "share of item rows that came before", "duplicate", rises=True, warns=True
    ),
    Metric(
        "items.quarantine",
        "share",
        "quarantine",
        "share of item rows in quarantine",
        named=True,
        rises=True,
        at_most="max_quarantine",
    ),
    Metric("items.title_shape", "mix", "catalogue", "characters of titles", named=True),
    Metric("items.title_length", "mix", "catalogue", "lengths of titles (half powers of two)", named=True),
    Metric(
        "items.title_changed", "share", "catalogue", "share of changed items with another title", "true", rises=True
    ),
    Metric(
        "items.title_shared", "share", "catalogue", "share of items with the title of another item", "true", rises=True
    ),
    Metric("items.description", "mix", "catalogue", "lengths of descriptions (power of two)", named=True),
    Metric("items.release_year", "mix", "catalogue", "decades of items", named=True),
    Metric("items.creator", "share", "catalogue", "share of items without creator", "(none)"),
    Metric("items.gtin", "share", "catalogue", "share of items without GTIN", "(none)"),
    Metric("items.isbn", "share", "catalogue", "share of items without ISBN", "(none)"),
    Metric("items.imdb_id", "share", "catalogue", "share of items without IMDb id", "(none)"),
    Metric("items.category", "mix", "catalogue", "categories of items"),
    Metric(
        "items.categories_changed",
        "share",
        "catalogue",
        "share of changed items with other categories",
        "true",
        rises=True,
    ),
    Metric("items.price", "mix", "catalogue", "prices of items (half powers of two)", named=True),
    Metric("items.price_change", "mix", "catalogue", "changes of price (half powers of two)", named=True),
    Metric("items.available", "share", "catalogue", "share of item rows that are not available", "false"),
    Metric("items.shape", "mix", "catalogue", "characters of item ids", named=True),
    Metric(
        "items.tenure",
        "mix",
        "catalogue",
        "minutes from listing to arrival of new items (power of two)",
        named=True,
        warns=True,
    ),
)
NAMES = tuple(metric.name for metric in METRICS)
