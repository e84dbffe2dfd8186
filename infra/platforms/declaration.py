"""What a platform declares of itself in ``dbt_project/models/staging/<platform>/_<platform>__sources.yml``."""

import codecs
import os
import re
from collections.abc import Iterator
from datetime import date, timedelta
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal, NamedTuple, Self, TypeVar
from urllib.parse import parse_qsl, quote, unquote, urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator
from pydantic_core import ErrorDetails

from infra.platforms.errors import PlatformError
from infra.settings import Settings

FILE_SCHEMES = ("file", "s3")
SCHEMES = ("duckdb", "sqlite", "postgresql", "mysql", *FILE_SCHEMES)
FILE_FORMATS = ("jsonl", "csv", "parquet")
TOKEN_KINDS = ("email", "phone", "device", "loyalty")
VAULT_KINDS = ("given_name", "surname", "full_name", "birth_date", "street", "suburb", "postcode", "state")
PATH_KEYS = ("platform", "table", "load_date")  # raw/platform=.../table=.../load_date=.../
PLACEHOLDERS = {
    "{date}": r"(?P<date>[0-9]{4}-[0-9]{2}-[0-9]{2})",
    "{month}": r"(?P<month>[0-9]{4}-[0-9]{2})",
    "*": r"[^/]*",
}
GATE_METRICS = (  # that a platform may widen; those of expectations.contents
    "accounts.age_band",
    "accounts.changed",
    "accounts.contacts_changed",
    "accounts.deleted",
    "accounts.email",
    "accounts.email_shared",
    "accounts.gender",
    "accounts.lost",
    "accounts.new",
    "accounts.phone",
    "accounts.quarantine",
    "accounts.rows",
    "accounts.shape",
    "accounts.status",
    "accounts.tenure",
    "events.account_known",
    "events.account_load",
    "events.account_shape",
    "events.account_tenure",
    "events.accounts",
    "events.age",
    "events.busiest_account",
    "events.category",
    "events.corrected",
    "events.days_old",
    "events.device",
    "events.event_shape",
    "events.event_type",
    "events.hour",
    "events.in_session",
    "events.item_known",
    "events.item_load",
    "events.item_shape",
    "events.items",
    "events.known_pair",
    "events.known_taste",
    "events.newest",
    "events.quarantine",
    "events.repeated",
    "events.returning",
    "events.rows",
    "events.same_category",
    "events.status",
    "events.top_item",
    "events.value",
    "events.value_agrees",
    "items.available",
    "items.catalogue",
    "items.categories_changed",
    "items.category",
    "items.changed",
    "items.creator",
    "items.description",
    "items.gtin",
    "items.imdb_id",
    "items.isbn",
    "items.listed",
    "items.new",
    "items.price",
    "items.price_change",
    "items.quarantine",
    "items.release_year",
    "items.returned",
    "items.rows",
    "items.shape",
    "items.status",
    "items.tenure",
    "items.title_changed",
    "items.title_length",
    "items.title_shape",
    "items.title_shared",
    "items.withdrawn",
)
DBT_META = ("external_location", "formatter", "plugin")  # options of dbt-duckdb that share the meta with ours


class DeclarationError(ValueError):
    """A sources file that cannot be understood; every fault on its own line."""


class _Declared(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Column(_Declared):
    """A column to extract, and what becomes of it where it identifies a human being."""

    name: str
    identifier: Literal["token", "vault", "drop"] | None = None
    kind: str | None = Field(None, description="What linkage compares it as: one of TOKEN_KINDS or VAULT_KINDS.")
    data_type: str | None = Field(None, description="The source's type now, where it is not that of the first load.")
    rename: str | None = Field(None, pattern=r"^[A-Za-z]\w*$", description="Its name in the lake, if not its own.")

    @property
    def lands_as(self) -> str:
        """Its name in the lake."""
        name = self.rename or self.name
        return f"{name}_token" if self.identifier == "token" else name

    @field_validator("name")
    @classmethod
    def _leaves_underscores_to_us(cls, name: str) -> str:
        if name.startswith("_"):
            raise ValueError(
                "names with a leading underscore are crossrec's own. Select the column under another name in a view"
            )
        return name

    @model_validator(mode="after")
    def _kind_fits(self) -> Self:
        if self.lands_as in PATH_KEYS and self.identifier in (None, "token"):
            raise ValueError(
                f"'{self.lands_as}' is a key of the lake's paths, whose value would stand in the place of the column's. Give the "
                "column another name in the lake, such as 'rename: source_"
                + self.lands_as
                + "', and use that name in the models"
            )
        kinds = {"token": TOKEN_KINDS, "vault": (None, *VAULT_KINDS)}.get(self.identifier or "", (None,))
        if self.kind not in kinds:
            fitting = ", ".join(kind for kind in kinds if kind) or "no kind"
            raise ValueError(f"'identifier: {self.identifier}' goes with {fitting}, not with 'kind: {self.kind}'")
        return self


class SourceTable(_Declared):
    """One table, or one family of files, of a platform."""

    name: str = Field(pattern=r"^\w+$")
    key: tuple[str, ...] = Field(min_length=1, description="Columns that identify a row.")
    watermark: str | None = Field(
        None, description="Column that says when the row became visible. None: load everything."
    )
    event_time: str | None = None
    contract: Literal["accounts", "items", "events", "none"] = "none"
    path: str | None = Field(
        default=None,
        description="Files, relative to the platform's folder. {date} or {month} in it is the period that a file is about; "
        "* stands for any part of a name.",
    )
    overlap_days: int = Field(
        2, ge=0, description="Days before the last load that are read again each night, for rows that come late."
    )
    delimiter: str | None = Field(
        None, min_length=1, max_length=1, description="Of CSV files; found by the header if not given."
    )
    encoding: str | None = Field(None, description="Of CSV and JSON files; UTF-8, or UTF-16 with a mark, if not given.")
    quote: str = Field('"', min_length=1, max_length=1, description="The character around values of CSV files.")
    columns: tuple[Column, ...] = Field(min_length=1)

    @property
    def file_format(self) -> str:
        return (self.path or "").rpartition(".")[2]

    @property
    def has_watermark(self) -> bool:
        return self.watermark is not None or "{date}" in (self.path or "") or "{month}" in (self.path or "")

    @property
    def landed(self) -> tuple[Column, ...]:
        """Columns of the raw zone: everything but what goes to the vault or nowhere."""
        return tuple(column for column in self.columns if column.identifier in (None, "token"))

    @property
    def vaulted(self) -> tuple[Column, ...]:
        return tuple(column for column in self.columns if column.identifier == "vault")

    @property
    def extracted(self) -> tuple[str, ...]:
        """Names of the columns that are read: everything but what stays in the source."""
        return tuple(column.name for column in self.columns if column.identifier != "drop")

    @property
    def kept_in_vault(self) -> tuple[str, ...]:
        """Names of the columns of the vault zone: what it is for, and the key."""
        return tuple(column.name for column in self.columns if column.identifier == "vault" or column.name in self.key)

    @property
    def has_identifiers(self) -> bool:
        return any(column.identifier for column in self.columns)

    @property
    def path_prefix(self) -> str:
        """The part of the path that all its files share."""
        return re.split(r"\{date\}|\{month\}|\*", self.path or "")[0]

    def period_of(self, file: str) -> "Period | None":
        """The days that a file of this table is about; None if the file is not one of them.

        Raises:
            ValueError: The name has the form of a date, but is none ('2000-02-30').
        """
        parts = re.split(r"(\{date\}|\{month\}|\*)", self.path or "")
        match = re.fullmatch("".join(PLACEHOLDERS.get(part, re.escape(part)) for part in parts), file)
        if not match:
            return None
        found = match.groupdict()
        if day := found.get("date"):
            return Period(date.fromisoformat(day), date.fromisoformat(day))
        if month := found.get("month"):
            first = date.fromisoformat(f"{month}-01")
            return Period(first, (first + timedelta(days=31)).replace(day=1) - timedelta(days=1))
        return Period(None, None)

    @field_validator("encoding")
    @classmethod
    def _is_an_encoding(cls, name: str | None) -> str | None:
        try:
            return name and codecs.lookup(name).name
        except LookupError:
            raise ValueError("no such encoding. Use a name such as 'utf-8', 'utf-16', 'latin-1' or 'cp1252'") from None

    @model_validator(mode="after")
    def _agrees_with_itself(self) -> Self:
        names = [column.name for column in self.columns]
        if twice := [name for name in names if names.count(name) > 1]:
            raise ValueError(f"column '{twice[0]}' is declared twice. Remove one")
        identifiers = {column.name for column in self.columns if column.identifier}
        for role, used in [("key", self.key), ("watermark", (self.watermark,)), ("event_time", (self.event_time,))]:
            for name in used:
                if name is not None and name not in names:
                    raise ValueError(f"{role} '{name}' is not among the columns. Declare it, or correct the {role}")
                if name in identifiers:
                    raise ValueError(f"{role} '{name}' is an identifier, which does not land. Choose another {role}")
        landed = [column.lands_as for column in self.landed]
        if len({*landed}) < len(landed):
            raise ValueError("a token column would land under the name of another column. Rename one of them")
        if self.path is not None:
            if self.file_format not in FILE_FORMATS:
                raise ValueError(f"path '{self.path}' must end in one of {', '.join(FILE_FORMATS)}")
            if "{date}" in self.path and self.watermark:
                raise ValueError("the {date} of the path is the watermark. Remove 'watermark'")
            if len(re.findall(r"\{date\}|\{month\}", self.path)) > 1:
                raise ValueError(f"path '{self.path}' may name {{date}} or {{month}} once")
        return self


class Period(NamedTuple):
    """The first and the last day that a file is about; both None where its name does not say."""

    first: date | None
    last: date | None


class WriteBack(_Declared):
    """Where the platform wants its lists: a table of its database, or a folder beside its files."""

    table: str = Field(default="crossrec_recommendations", pattern=r"^\w+$")
    folder: str = Field(default="recommendations", pattern=r"^[\w\-]+(/[\w\-]+)*$")


class Address(NamedTuple):
    """The parts of a platform's URL; ``path`` is a file's, or '/' and the name of a database or a bucket's prefix.

    ``options`` are those of the driver, as in ``?sslmode=require``.
    """

    scheme: str
    host: str
    port: int | None
    user: str | None
    password: str | None
    path: str
    options: dict[str, str]


class Platform(_Declared):
    """A business with its own warehouse."""

    name: str = Field(pattern=r"^[a-z][a-z0-9_]*$")
    connection: str = Field(
        pattern=r"^[A-Z][A-Z0-9_]*$", description="Name of the environment variable that holds the URL."
    )
    demo: str | None = Field(
        default=None, description="URL where the variable is not set; {demo} is the demo's folder."
    )
    timezone: str = Field(default="UTC", description="Zone of its times that carry none.")
    date_order: Literal["ymd", "dmy", "mdy"] = Field(
        "ymd", description="How it writes dates with the year at the end: dmy is 31/12/2000, mdy is 12/31/2000."
    )
    decimal_mark: Literal[".", ","] = Field(".", description="What stands before its decimals: , as in 1.299,50.")
    max_staleness_days: int = Field(default=3, ge=0)
    phone_country: str = Field(
        "61", pattern=r"^[1-9][0-9]{0,2}$", description="Calling code of its national phone numbers."
    )
    database_schema: str | None = Field(
        None, alias="schema", description="Schema of its tables; the database's default if not given."
    )
    one_account_per_person: bool = Field(
        False, description="Its own accounts are never linked to each other: nobody has two of them."
    )
    one_item_per_product: bool = Field(
        False, description="Its own items are never linked to each other: it lists nothing twice."
    )
    repeat_consumption: bool = Field(
        False,
        strict=True,
        description="People buy or watch its items again and again: lists offer them what they had there.",
    )
    gate_bounds: dict[str, float] = Field(
        default_factory=dict,
        description="How many times wider than learned the bounds of a metric of the gate `contents` are, by metric.",
    )
    write_back: WriteBack | None = None
    shares_reasons_with: Literal["all", "none"] | tuple[str, ...] = Field(
        "none", description="Platforms whose reasons may name what people did here; its own always may."
    )
    tables: tuple[SourceTable, ...] = Field(min_length=1)

    @field_validator("shares_reasons_with", mode="before")
    @classmethod
    def _is_all_none_or_names(cls, value: Any) -> Any:
        if value in ("all", "none") or (isinstance(value, list) and all(isinstance(name, str) for name in value)):
            return value
        raise ValueError("write all, none, or a list of platforms such as [forum, stream]")

    @field_validator("gate_bounds")
    @classmethod
    def _widens_metrics(cls, bounds: dict[str, float]) -> dict[str, float]:
        if unknown := sorted({*bounds} - {*GATE_METRICS}):
            near = sorted({close for name in unknown for close in get_close_matches(name, GATE_METRICS)})
            hint = f" Near: {', '.join(near)}." if near else ""
            raise ValueError(f"the gate has no metric {', '.join(unknown)}.{hint} docs/runbook.md lists them")
        if narrow := sorted(name for name, factor in bounds.items() if factor < 1):
            raise ValueError(f"a factor under 1 would narrow {', '.join(narrow)}. Write 1 or more")
        return bounds

    @field_validator("timezone")
    @classmethod
    def _is_a_zone(cls, name: str) -> str:
        try:
            ZoneInfo(name)
        except (ZoneInfoNotFoundError, ValueError):
            raise ValueError("no such time zone. Use a name of the tz database such as 'Europe/Berlin'") from None
        return name

    def is_named_on(self, platform: str) -> bool:
        """Whether a reason in a list on ``platform`` may name what people did here."""
        if platform == self.name or self.shares_reasons_with == "all":
            return True
        return self.shares_reasons_with != "none" and platform in self.shares_reasons_with

    def table(self, name: str) -> SourceTable:
        return next(table for table in self.tables if table.name == name)

    def address(self, settings: Settings) -> Address:
        """The URL from the environment, or the demo's.

        Raises:
            PlatformError: There is no URL, or it is none of the six technologies.
        """
        url = os.environ.get(self.connection)
        if url is None and self.demo:
            url = self.demo.replace("{demo}", quote(str(settings.demo_path.resolve())))
        try:
            parts = urlsplit(url or "")
            port = parts.port
        except ValueError:
            raise self._unusable("a URL with a host or port that cannot be read") from None
        scheme = "postgresql" if parts.scheme == "postgres" else parts.scheme
        if scheme not in SCHEMES:
            raise self._unusable(f"a URL with the scheme '{scheme}'" if url else "nothing")
        path = unquote(parts.path)
        if scheme in ("duckdb", "sqlite", "file"):
            if parts.netloc:
                raise self._unusable(
                    f"a relative path; a file's URL has three slashes and an absolute path, as in {scheme}:///data/{self.name}"
                )
            path = "/" + path.lstrip("/")
        user, password = (unquote(part) if part else None for part in (parts.username, parts.password))
        return Address(scheme, parts.hostname or parts.netloc, port, user, password, path, dict(parse_qsl(parts.query)))

    def _unusable(self, received: str) -> PlatformError:
        urls = ", ".join(f"{scheme}://" for scheme in SCHEMES)
        remedy = f"set {self.connection} to a URL that starts with one of {urls}"
        return PlatformError(self.name, None, "no usable connection", received=received, remedy=remedy)


def load_platforms(root: Path) -> list[Platform]:
    """Every platform declared in a folder of ``root`` (dbt's ``models/staging``), by name.

    Raises:
        DeclarationError: With every fault of every file, naming platform, table, column, what was received, a remedy.
    """
    platforms: list[Platform] = []
    faults: list[str] = []
    for file in sorted(root.glob("*/_*__sources.yml")):
        try:
            sources = _shaped(yaml.safe_load(file.read_text(encoding="utf-8")), dict, "the file").get("sources")
            declarations = [_declared(source) for source in _shaped(sources, list, "sources")]
        except (yaml.YAMLError, UnicodeDecodeError):
            faults.append(
                f"{file}: not a sources file. Received: no readable YAML mapping. Remedy: correct its indentation."
            )
            continue
        except _OtherShape as error:
            faults.append(f"{file}: not a sources file. Received: {error}. Remedy: correct its indentation.")
            continue
        for declared in declarations:
            try:
                platform = Platform.model_validate(declared)
            except ValidationError as error:
                faults += [_fault(declared, fault, file) for fault in error.errors()]
                continue
            if platform.name != file.parent.name:
                faults.append(
                    f"platform '{platform.name}': declared in the folder of another. Received: {file}. "
                    f"Remedy: a platform's sources lie in staging/{platform.name}/_{platform.name}__sources.yml."
                )
            platforms.append(platform)
    faults += _unknown_partners(platforms, root)
    if faults:
        raise DeclarationError("\n".join(faults))
    return sorted(platforms, key=lambda platform: platform.name)


def _unknown_partners(platforms: list[Platform], root: Path) -> Iterator[str]:
    """A platform named in another's sharing policy must have a folder: a typing error would share with nobody."""
    folders = {file.parent.name for file in root.glob("*/_*__sources.yml")}
    for platform in platforms:
        named = platform.shares_reasons_with
        if isinstance(named, tuple) and (unknown := sorted({*named} - folders)):
            yield (
                f"platform '{platform.name}': shares_reasons_with: no such platform. Received: {', '.join(unknown)}. "
                f"Remedy: correct {root}/{platform.name}/_{platform.name}__sources.yml; there are {', '.join(sorted(folders))}."
            )


class _OtherShape(ValueError):
    """A part of a sources file is another kind of YAML than dbt and we read there."""


T = TypeVar("T")


def _shaped(value: Any, kind: type[T], name: str) -> T:
    """The value, or an empty one where the file has none."""
    if value is None:
        return kind()
    if not isinstance(value, kind):
        kinds: dict[type, str] = {dict: "a mapping", list: "a list"}
        raise _OtherShape(f"{name} is {kinds.get(type(value), 'a text or number')}, and not {kinds[kind]}")
    return value


def _declared(source: Any) -> dict[str, Any]:
    """A dbt source as our models want it: names and meta, without what only dbt reads."""
    source = _shaped(source, dict, "a source")
    name = source.get("name")
    tables = [
        {
            **_named(table, f"a table of source '{name}'"),
            "columns": [
                {"data_type": column.get("data_type")} | _named(column, f"a column of table '{table.get('name')}'")
                for column in (
                    _shaped(column, dict, f"a column of table '{table.get('name')}'")
                    for column in _shaped(table.get("columns"), list, f"'columns' of table '{table.get('name')}'")
                )
            ],
        }
        for table in (
            _shaped(table, dict, f"a table of source '{name}'")
            for table in _shaped(source.get("tables"), list, f"'tables' of source '{name}'")
        )
    ]
    return {**_named(source, f"source '{name}'"), "tables": tables}


def _named(node: dict[str, Any], what: str) -> dict[str, Any]:
    config = _shaped(node.get("config"), dict, f"'config' of {what}")
    meta = {
        **_shaped(node.get("meta"), dict, f"'meta' of {what}"),
        **_shaped(config.get("meta"), dict, f"'meta' of {what}"),
    }
    return {"name": node.get("name")} | {option: value for option, value in meta.items() if option not in DBT_META}


def _fault(declared: dict[str, Any], fault: ErrorDetails, file: Path) -> str:
    """One validation error as a sentence with the names, not the positions, of what it is about."""
    place, node, option = f"platform '{declared['name']}'", declared, ""
    location = list(fault["loc"])
    for kind in ("tables", "columns"):
        if len(location) > 1 and location[0] == kind:
            node = node[kind][location[1]]
            place += f", {kind.rstrip('s')} '{node['name']}'"
            location = location[2:]
    option = f"{'.'.join(str(part) for part in location)}: " if location else ""
    received = repr(fault["input"]) if location else f"the declaration of '{node['name']}'"
    return (
        f"{place}: {option}{fault['msg'].removeprefix('Value error, ')}. Received: {received}. Remedy: correct {file}."
    )
