"""What can be wrong with a platform's data, as data: for each corruption the SQL that does it, and what must become of it.

The SQL runs over a table ``rows``, all of it text, see `tests.bench.bad_sources`. ``tonight`` has the rows that the night is to
load; ``export`` has every row so far, sent once more tonight as a whole new export would; ``schema`` changes the table itself;
``reordered`` moves the column that the statement names to the front;
``late`` lets tonight's rows come with the next night, which is the one that is judged.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from random import Random
from typing import Literal

from tests.bench.kinds import ACCOUNTS, COLUMN_KINDS, EVENTS, ITEMS

Scope = Literal["tonight", "export", "schema", "reordered", "late"]
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

    ``also`` is done too, to other tables of the platform; ``encoding`` is that of a file.

    ``expected``: ``caught`` must not come through; ``harmless`` must; ``small`` touches too little to be asked for.
    """

    sheet: Sheet
    kind: str
    sql: str
    scope: Scope = "tonight"
    expected: Expected = "caught"
    is_drawn: bool = False
    also: tuple["Corruption", ...] = ()
    encoding: str = "utf-8"

    @property
    def name(self) -> str:
        return f"{self.sheet.platform}.{self.sheet.table}: {self.kind}"

    def on(self, table: str) -> str:
        """The statement over ``table``, with the sheet's own columns in place of roles."""
        return self.sql.format(table=table, known=self.sheet.known, **self.sheet.roles)


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

SHUFFLED_OR_NULL = {
    "events": ("id", "account", "item", "type", "value", "time"),
    "accounts": ("mail", "phone", "age", "gender", "created"),
    "items": ("title", "categories", "price", "year", "available"),
}
NULL_IS_ENOUGH = ("id", "type", "available", "created")  # shuffled, these say what they said


def named() -> list[Corruption]:
    """The corruptions that have a name, by table."""
    return [corruption for sheet in SHEETS for corruption in (*_columns(sheet), *_meanings(sheet), *_tables(sheet))] + [
        *_attacks(),
        *_encodings(),
        *_late_loads(),
    ]


def drawn(count: int, seed: int) -> list[Corruption]:
    """Corruptions by chance: a table, a column, a kind and a strength. The same seed draws the same ones.

    A share of rows below a tenth is not asked to be caught.
    """
    random = Random(seed)
    return [replace(_drawn(random), is_drawn=True) for _ in range(count)]


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
    yield Corruption(sheet, f"column {main} moved to the front", main, "reordered", "harmless")
    yield Corruption(sheet, "a column more", "alter table {table} add column campaign varchar", "schema", "harmless")
    if sheet.contract != "events":
        yield Corruption(sheet, "a whole export, unchanged", "", "export", "harmless")
        yield Corruption(sheet, "half of the whole export", "delete from rows where draw < 0.5", "export", "harmless")


# new accounts, made of the newest row of the table
NEW_ACCOUNTS = (
    "insert into rows select rows.* replace ({prefix} || n as {{account}}, moved(night_text(), interval (-3) hours) as {{created}}"
    "{more}) from rows, range({count}) as numbers(n) where rows.number = (select max(number) from rows)"
)
PREFIXES = {"stream": "'99000'", "shop": "'C99'", "forum": "'newbie_'"}
MORE_OF_ACCOUNTS = {"forum": ", moved(night_text(), interval (-3) hours) as changed, n || 'x@example.com' as mail"}


def _attacks() -> Iterator[Corruption]:
    """A wave of sign-ups, and a botnet: new accounts that all do the same."""
    accounts = {sheet.platform: sheet for sheet in SHEETS if sheet.contract == "accounts"}
    for platform, sheet in accounts.items():
        more = MORE_OF_ACCOUNTS.get(platform, ", n || 'x@example.com' as email")
        sign_ups, bots = (
            NEW_ACCOUNTS.format(prefix=PREFIXES[platform], more=more, count=count) for count in (100, 200)
        )
        yield Corruption(sheet, "ten times as many sign-ups", sign_ups)
        yield _botnet(platform, Corruption(sheet, "bots", bots))


def _botnet(platform: str, bots: Corruption) -> Corruption:
    """Two hundred new accounts with ten events each, all on one item."""
    events = {sheet.table: sheet for sheet in SHEETS if sheet.contract == "events" and sheet.platform == platform}
    made = (
        "insert into rows select rows.* replace ('bot' || n as {{id}}, {values}) from rows, range(2000) as numbers(n) "
        "where rows.number = (select min(number) from rows)"
    )
    account = f"{PREFIXES[platform]} || (n // 10) as {{account}}"
    item = "(select min({item}) from rows) as {item}"
    if platform != "shop":
        [sheet] = events.values()
        return Corruption(sheet, "a botnet on one item", made.format(values=f"{account}, {item}"), also=(bots,))
    orders = Corruption(events["orders"], "bots", made.format(values=account))
    lines = made.format(values=f"'bot' || n as order_no, {item}")
    return Corruption(events["order_lines"], "a botnet on one item", lines, also=(orders, bots))


def _encodings() -> Iterator[Corruption]:
    for sheet in SHEETS:
        if sheet.known is None and sheet.contract != "events":
            column = sheet.roles.get("title", "full_name")
            sql = f"update rows set {column} = replace({column}, 'e', '\u00e9')"
            yield Corruption(sheet, "bytes of Latin-1", sql, "export", encoding="latin-1")


def _late_loads() -> Iterator[Corruption]:
    """The night finds no events; the next night finds those of two days."""
    stream, orders, lines, posts = (sheet for sheet in SHEETS if sheet.contract == "events")
    later = "update rows set {known} = moved({known}, interval 1 day)"
    yield Corruption(stream, "a late load", later, "late", "harmless")
    late_orders = Corruption(orders, "a late load", later, "late", "harmless")
    yield Corruption(lines, "a late load", later, "late", "harmless", also=(late_orders,))
    yield Corruption(posts, "a late load", "", "late", "harmless")
