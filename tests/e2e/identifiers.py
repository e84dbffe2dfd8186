"""Who the accounts of the demo are in real life, and how to find that in a text."""

import json
import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import duckdb

EMAIL = re.compile(r"[a-z0-9._%+'-]+@[a-z0-9.-]+")
PHONE = re.compile(r"(?<![\w.-])\+?[0-9][0-9 ()-]{6,}[0-9](?![\w.-])")
WORDS = re.compile(r"[a-z][a-z'-]*")
STREET = re.compile(r"(?<![\w.-])(?=([0-9]{1,4} [a-z]+ [a-z]+)\b)")
DATE = re.compile(r"(?<![\w.-])(?:([0-9]{4})-?([0-9]{2})-?([0-9]{2})|([0-9]{2})/([0-9]{2})/([0-9]{4}))(?![\w.-])")
OF_THE_DEMO = 1996  # its nights and events are later, and some of its people say they were born then


class Identifiers:
    """The e-mails, phone numbers, full names, birth dates and streets of the demo's accounts, and how to find them."""

    def __init__(self, demo: Path) -> None:
        people, titles = _people(demo), " . ".join(_titles(demo)).lower()
        self.emails = {person.email.lower() for person in people if person.email}
        self.phones = {_digits(person.phone) for person in people if person.phone}
        names = {tuple(person.name.lower().split()) for person in people if person.name}
        self.names = {(pair[0], pair[1]) for pair in names if len(pair) == 2}
        self.names -= set(_pairs(titles))  # a namesake of a film says nothing
        born = {day for person in people if person.born for day in _days(person.born)}
        self.born = {day for day in born if "1900" < day < str(OF_THE_DEMO)} - {
            "19700101"
        }  # which begins many a calendar
        streets = {street for person in people if person.street for street in STREET.findall(person.street.lower())}
        self.streets = streets - {*STREET.findall(titles)}

    def in_text(self, text: str) -> set[str]:
        text = text.lower()
        emails = self.emails & {email.strip("'") for email in EMAIL.findall(text)}
        phones = self.phones & {_digits(phone) for phone in PHONE.findall(text)}
        names = {" ".join(pair) for pair in self.names & set(_pairs(text))}
        return emails | phones | names | self.born & {*_days(text)} | self.streets & {*STREET.findall(text)}


class Person(NamedTuple):
    name: str | None
    email: str | None
    phone: str | None
    born: str | None
    street: str | None


def _digits(phone: str) -> str:
    return re.sub(r"[^0-9]", "", phone)


def _days(text: str) -> Iterator[str]:
    """Dates as YYYYMMDD, written in any of the ways in which the platforms and the linkage write them."""
    for year, month, day, day_first, then_month, then_year in DATE.findall(text):
        yield year + month + day if year else then_year + then_month + day_first


def _pairs(text: str) -> Iterator[tuple[str, str]]:
    """Words that stand side by side, with nothing or little between them."""
    words = [(match[0], match.start(), match.end()) for match in WORDS.finditer(text)]
    for (first, _, end), (second, start, _) in pairwise(words):
        if start - end <= 4:
            yield first, second


def _people(demo: Path) -> list[Person]:
    with duckdb.connect(str(demo / "stream.duckdb"), read_only=True) as connection:
        rows = connection.execute(
            "select given_name || ' ' || surname, email, phone, birth_date::varchar, street from viewers"
        ).fetchall()
    with closing(sqlite3.connect(demo / "shop.sqlite")) as connection:
        rows += connection.execute(
            "select first_name || ' ' || last_name, email, phone, date_of_birth, street from customers"
        ).fetchall()
    for path in (demo / "forum" / "members").glob("*.jsonl"):
        for line in path.read_text(errors="replace").splitlines():
            if line.startswith("{") and line.endswith("}"):
                member = json.loads(line)
                rows.append(tuple(member[name] for name in ("full_name", "mail", "tel", "born", "street")))
    return [Person(*row) for row in rows]


def _titles(demo: Path) -> list[str]:
    with duckdb.connect(str(demo / "stream.duckdb"), read_only=True) as connection:
        return [title for (title,) in connection.execute("select title from titles").fetchall()]
