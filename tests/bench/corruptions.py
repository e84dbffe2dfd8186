"""What can be wrong with a platform's data, as data: for each corruption the SQL that does it, and what must become of it.

The SQL runs over a table ``rows``, all of it text, see `tests.bench.bad_sources`. ``tonight`` has the rows that the night is to
load; ``export`` has every row so far, sent once more tonight as a whole new export would; ``schema`` changes the table itself.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from random import Random
from typing import Literal

Scope = Literal["tonight", "export", "schema"]
Expected = Literal["caught", "harmless", "small"]


@dataclass(frozen=True)
class Sheet:
    """A table of a demo platform. ``roles`` says which column has which meaning; ``known`` is the watermark, if any."""

    platform: str
    table: str
    contract: str
    roles: dict[str, str]
    known: str | None = None


@dataclass(frozen=True)
class Corruption:
    """``sql`` is a statement with roles in braces; empty: the rows are sent as they are.

    ``expected``: ``caught`` must not come through; ``harmless`` must; ``small`` touches too little to be asked for.
    """

    sheet: Sheet
    kind: str
    sql: str
    scope: Scope = "tonight"
    expected: Expected = "caught"

    @property
    def name(self) -> str:
        return f"{self.sheet.platform}.{self.sheet.table}: {self.kind}"

    def on(self, table: str) -> str:
        """The statement over ``table``, with the sheet's own columns in place of roles."""
        return self.sql.format(table=table, **self.sheet.roles)


SHEETS = (
    Sheet(
        "stream",
        "watch_log",
        "events",
        {
            "id": "watch_id",
            "account": "viewer_id",
            "item": "title_id",
            "type": "action",
            "value": "completion",
            "time": "started_at",
        },
        "ingested_at",
    ),
    Sheet(
        "shop",
        "orders",
        "events",
        {"id": "order_no", "account": "customer_no", "type": "status", "time": "ordered_at"},
        "recorded_at",
    ),
    Sheet("shop", "order_lines", "events", {"id": "line_id", "item": "sku", "value": "review_score"}, "recorded_at"),
    Sheet(
        "forum",
        "posts",
        "events",
        {"id": "post", "account": "handle", "item": "film", "type": "kind", "value": "stars", "time": "posted"},
    ),
    Sheet(
        "stream",
        "viewers",
        "accounts",
        {
            "account": "viewer_id",
            "mail": "email",
            "phone": "phone",
            "age": "age_band",
            "gender": "gender",
            "created": "created_at",
        },
        "updated_at",
    ),
    Sheet(
        "shop",
        "customers",
        "accounts",
        {
            "account": "customer_no",
            "mail": "email",
            "phone": "phone",
            "age": "age_group",
            "gender": "sex",
            "created": "registered_at",
        },
        "updated_at",
    ),
    Sheet(
        "forum",
        "members",
        "accounts",
        {
            "account": "handle",
            "mail": "mail",
            "phone": "tel",
            "age": "age_group",
            "gender": "gender",
            "created": "joined",
            "status": "status",
        },
    ),
    Sheet(
        "stream",
        "titles",
        "items",
        {"item": "title_id", "title": "title", "categories": "genres", "available": "available", "created": "added_at"},
        "updated_at",
    ),
    Sheet(
        "shop",
        "products",
        "items",
        {
            "item": "sku",
            "title": "name",
            "year": "release_year",
            "categories": "department",
            "price": "price",
            "available": "in_stock",
            "created": "listed_at",
        },
        "updated_at",
    ),
    Sheet(
        "forum",
        "films",
        "items",
        {
            "item": "film",
            "title": "title",
            "year": "year",
            "categories": "tags",
            "available": "available",
            "created": "listed",
        },
    ),
)

# what may happen to a column, whatever it means. {c} is the column, {share} the share of rows.
COLUMN_KINDS = {
    "null": "update rows set {c} = null where draw < {share}",
    "constant": "update rows set {c} = (select min({c}) from rows) where draw < {share}",
    # the next row's value, in an order by chance: the values stay as they are, and belong to others
    "shuffled": (
        "update rows set {c} = moved.value from (select number, lead({c}, 1, (select first({c} order by draw) from rows)) "
        "over (order by draw) as value from rows) as moved where moved.number = rows.number and draw < {share}"
    ),
}
# kind: (needed role, sql) of the tables of events, over the night's rows
EVENTS: dict[str, tuple[str, str]] = {
    "accounts unknown": ("account", "update rows set {account} = '9' || {account} || '7'"),
    "items unknown": ("item", "update rows set {item} = '9' || {item} || '7'"),
    "account ids in capitals": ("account", "update rows set {account} = upper({account})"),
    "account ids with .0": ("account", "update rows set {account} = {account} || '.0'"),
    "item ids with leading zeros": ("item", "update rows set {item} = '000' || {item}"),
    "values in percent": ("value", "update rows set {value} = cast({value} as double) * 100"),
    "values a hundredth": ("value", "update rows set {value} = cast({value} as double) / 100"),
    "values halved": ("value", "update rows set {value} = cast({value} as double) / 2"),
    "values upside down": (
        "value",
        "update rows set {value} = (select max(cast({value} as double)) from rows) - cast({value} as double)",
    ),
    "types in capitals": ("type", "update rows set {type} = upper({type})"),
    "a third of a new type": ("type", "update rows set {type} = 'liked' where draw < 0.33"),
    "a third of another known type": ("type", "update rows set {type} = 'view' where draw < 0.33"),
    "clock five hours ahead": ("time", "update rows set {time} = moved({time}, interval 5 hours)"),
    "clock five hours behind": ("time", "update rows set {time} = moved({time}, interval (-5) hours)"),
    "times three days ahead": ("time", "update rows set {time} = moved({time}, interval 3 days)"),
    "times a year behind": ("time", "update rows set {time} = moved({time}, interval (-365) days)"),
    "dates without times": (
        "time",
        "update rows set {time} = moved(left({time}, 10) || ' 00:00:00', interval 0 hours)",
    ),
    "times as seconds since 1970": (
        "time",
        "update rows set {time} = cast(epoch(cast(left({time}, 19) as timestamp)) as bigint)",
    ),
    "half of the load": ("id", "delete from rows where draw < 0.5"),
    "a tenth of the load": ("id", "delete from rows where draw < 0.9"),
    "an empty load": ("id", "delete from rows"),
    "every row twice": ("id", "insert into rows from rows"),
    "every row again under new ids": (
        "id",
        "insert into rows select * replace ({id} || 'b' as {id}) from rows",
    ),
    "last week again under new ids": (
        "id",
        "insert into rows select * replace ({id} || 'r' as {id}) from earlier where days_ago between 1 and 7",
    ),
    "last month again under the same ids": ("id", "insert into rows from earlier where days_ago between 1 and 30"),
    "one robot with a thousand events": (
        "account item",
        "insert into rows select rows.* replace (rows.{id} || 'x' || n as {id}, (select min({account}) from rows) as {account}) "
        "from rows, range(1000) as numbers(n) where rows.number = (select min(number) from rows)",
    ),
    "every account on one item": (
        "item",
        "insert into rows select * replace ({id} || 'f' as {id}, (select min({item}) from rows) as {item}) from rows",
    ),
    "items of another platform": (
        "item",
        "update rows set {item} = 'DVD-' || lpad(cast(hash({item}) % 4000 as varchar), 7, '0')",
    ),
    "accounts and items swapped": ("account item", "update rows set {account} = {item}, {item} = {account}"),
}
ACCOUNTS: dict[str, tuple[str, str]] = {
    "genders flipped": (
        "gender",
        "update rows set {gender} = case when {gender} in ('male', 'M', 'man') then 'woman' else 'man' end",
    ),
    "genders as numbers": (
        "gender",
        "update rows set {gender} = case when {gender} in ('male', 'M', 'man') then '1' else '2' end",
    ),
    "ages as numbers of bands": ("age", "update rows set {age} = cast(hash({age}) % 7 as varchar)"),
    "one e-mail for all": ("mail", "update rows set {mail} = 'noreply@example.com'"),
    "e-mail addresses masked": ("mail", "update rows set {mail} = left({mail}, 1) || '***'"),
    "phones with another country": ("phone", "update rows set {phone} = '+1' || right({phone}, 9)"),
    "account ids reformatted": ("account", "update rows set {account} = '00' || {account} || '.0'"),
    "everybody signed up tonight": ("created", "update rows set {created} = moved(night_text(), interval (-1) hours)"),
    "all deleted": ("status", "update rows set {status} = 'deleted'"),
}
ITEMS: dict[str, tuple[str, str]] = {
    "titles poisoned": ("title", "update rows set {title} = 'BUY NOW www.example.com ' || {title}"),
    "titles with broken letters": (
        "title",
        "update rows set {title} = translate({title}, 'aeiou', '\u00c3\u00a9\u00c2\u00a8\u00bf')",
    ),
    "titles in capitals": ("title", "update rows set {title} = upper({title})"),
    "categories of another language": (
        "categories",
        "update rows set {categories} = translate({categories}, 'aeio', 'oiea')",
    ),
    "categories with another separator": (
        "categories",
        "update rows set {categories} = replace(replace({categories}, '|', '/'), ';', '/')",
    ),
    "prices in cents": ("price", "update rows set {price} = cast({price} as double) * 100"),
    "prices zero": ("price", "update rows set {price} = 0"),
    "nothing available": ("available", "update rows set {available} = 0"),
    "everything available": ("available", "update rows set {available} = 1"),
    "years in two digits": ("year", "update rows set {year} = cast({year} as integer) % 100"),
    "item ids reformatted": ("item", "update rows set {item} = '00' || {item}"),
    "ids given to other items": (
        "title",
        "update rows set {title} = moved.title, {categories} = moved.categories from (select number, lead({title}, 1, "
        "{title}) over (order by draw) as title, lead({categories}, 1, {categories}) over (order by draw) as categories "
        "from rows) as moved where moved.number = rows.number",
    ),
    "everything listed tonight": ("created", "update rows set {created} = moved(night_text(), interval (-1) hours)"),
}
SHUFFLED_OR_NULL = {
    "events": ("id", "account", "item", "type", "value", "time"),
    "accounts": ("mail", "phone", "age", "gender", "created"),
    "items": ("title", "categories", "price", "year", "available"),
}
NULL_IS_ENOUGH = ("id", "type", "available", "created")  # shuffled, these say what they said


def named() -> list[Corruption]:
    """The corruptions that have a name, by table."""
    return [corruption for sheet in SHEETS for corruption in (*_columns(sheet), *_meanings(sheet), *_tables(sheet))]


def drawn(count: int, seed: int) -> list[Corruption]:
    """Corruptions by chance: a table, a column, a kind and a strength. The same seed draws the same ones.

    A share of rows below a tenth is not asked to be caught.
    """
    random = Random(seed)
    return [_drawn(random) for _ in range(count)]


def _drawn(random: Random) -> Corruption:
    sheet = random.choice(SHEETS)
    role = random.choice(sorted(set(sheet.roles)))
    kind = random.choice(sorted(COLUMN_KINDS))
    share = random.choice((0.05, 0.25, 0.5, 1.0))
    return _of_column(sheet, role, kind, share, "small" if share < 0.1 else "caught")


def _columns(sheet: Sheet) -> Iterator[Corruption]:
    for role in SHUFFLED_OR_NULL[sheet.contract]:
        if role in sheet.roles:
            for kind in COLUMN_KINDS if role not in NULL_IS_ENOUGH else ("null",):
                yield _of_column(sheet, role, kind, 1.0, "caught")


def _of_column(sheet: Sheet, role: str, kind: str, share: float, expected: Expected) -> Corruption:
    sql = COLUMN_KINDS[kind].format(c=sheet.roles[role], share=share)
    strength = "" if share == 1 else f" in {share:.0%} of rows"
    scope: Scope = "tonight" if sheet.contract == "events" else "export"
    return Corruption(sheet, f"{role} {kind}{strength}", sql, scope, expected)


def _meanings(sheet: Sheet) -> Iterator[Corruption]:
    kinds = {"events": EVENTS, "accounts": ACCOUNTS, "items": ITEMS}[sheet.contract]
    scope: Scope = "tonight" if sheet.contract == "events" else "export"
    for kind, (roles, sql) in kinds.items():
        if all(role in sheet.roles for role in (*roles.split(), *_roles_in(sql))):
            yield Corruption(sheet, kind, sql, scope)


def _roles_in(sql: str) -> list[str]:
    return [part.partition("}")[0] for part in sql.split("{")[1:]]


def _tables(sheet: Sheet) -> Iterator[Corruption]:
    """What happens to a table as a whole, and what does no harm."""
    main = sheet.roles.get("value") or sheet.roles.get("title") or sheet.roles.get("gender") or sheet.roles["account"]
    yield Corruption(
        sheet, f"column {main} renamed", f"alter table {{table}} rename column {main} to {main}_v2", "schema"
    )
    yield Corruption(sheet, f"column {main} dropped", f"alter table {{table}} drop column {main}", "schema")
    yield Corruption(sheet, "a column more", "alter table {table} add column campaign varchar", "schema", "harmless")
    if sheet.contract != "events":
        yield Corruption(sheet, "a whole export, unchanged", "", "export", "harmless")
        yield Corruption(sheet, "half of the whole export", "delete from rows where draw < 0.5", "export", "harmless")
