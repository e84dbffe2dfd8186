"""What a sources file may say, and what it hears when it says something else."""

import contextlib
import copy
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pytest
import yaml

from infra.platforms import DeclarationError, PlatformError, load_platforms
from infra.settings import PROJECT_ROOT, Settings

TABLES = """
- name: orders
  {meta}: {{contract: events, key: [order_no], watermark: recorded_at}}
  columns: [{{name: order_no}}, {{name: email, {meta}: {{identifier: token, kind: email}}}}, {{name: recorded_at}}]
"""


def test_the_projects_own_platforms_are_valid(settings: Settings) -> None:
    platforms = load_platforms(PROJECT_ROOT / "dbt_project" / "models" / "staging")
    assert {"forum", "shop", "stream"} <= {platform.name for platform in platforms}
    assert [platform.name for platform in platforms] == sorted(platform.name for platform in platforms)


def test_both_spellings_of_meta_say_the_same(declare) -> None:
    old = "- {name: orders, meta: {key: [id]}, columns: [{name: id}, {name: name, meta: {identifier: vault}}]}"
    new = old.replace("meta: {key: [id]}", "config: {meta: {key: [id]}}")
    new = new.replace("meta: {identifier: vault}", "config: {meta: {identifier: vault}}")
    assert declare("sqlite:///x", old) == declare("sqlite:///x", new)
    assert [column.name for column in declare("sqlite:///x", new).tables[0].vaulted] == ["name"]


FAULTS = [
    ("key: [order_no]", "key: [order_id]", r"table 'orders': key 'order_id' is not among the columns. Declare it"),
    ("key: [order_no]", "key: [email]", r"table 'orders': key 'email' is an identifier"),
    ("watermark: recorded_at", "watermrak: recorded_at", r"table 'orders': watermrak: Extra inputs.*'recorded_at'"),
    ("identifier: token", "identifier: tokn", r"column 'email': identifier: Input should be 'token'.*Received: 'tokn'"),
    (
        ", kind: email",
        "",
        r"column 'email': 'identifier: token' goes with email, phone, device, loyalty, not with 'kind: None'",
    ),
    (
        "name: recorded_at}]",
        "name: recorded_at}, {name: order_no}]",
        r"table 'orders': column 'order_no' is declared twice",
    ),
    ("name: recorded_at}]", "name: recorded_at}, {name: email_token}]", r"a token column would land under the name of"),
    (
        "name: recorded_at}]",
        "name: recorded_at}, {name: _row}]",
        r"column '_row': name: names with a leading underscore",
    ),
    (
        "contract: events",
        "contract: evnets",
        r"table 'orders': contract: Input should be 'accounts'.*Received: 'evnets'",
    ),
    (
        "contract: events",
        "path: 'orders-{date}.jsonl'",
        r"the \{date\} of the path is the watermark. Remove 'watermark'",
    ),
    ("contract: events", "path: orders.xlsx", r"path 'orders.xlsx' must end in one of jsonl, csv, parquet"),
]


@pytest.mark.parametrize(("right", "wrong", "message"), FAULTS)
def test_a_fault_is_named_with_platform_table_column_and_value(declare, right: str, wrong: str, message: str) -> None:
    tables = TABLES.format(meta="meta")
    assert right in tables
    with pytest.raises(DeclarationError, match=r"platform 'shop'.*" + message) as raised:
        declare("sqlite:///x", tables.replace(right, wrong, 1))
    assert "Remedy: correct" in str(raised.value)
    assert "_shop__sources.yml" in str(raised.value)


def test_platform_options_are_checked_too(declare) -> None:
    with pytest.raises(DeclarationError, match=r"timezone: no such time zone.*Received: 'Europe/Berlinn'"):
        declare("sqlite:///x", TABLES.format(meta="meta"), timezone="Europe/Berlinn")
    with pytest.raises(DeclarationError, match=r"phone_country: .*Received: '\+61'"):
        declare("sqlite:///x", TABLES.format(meta="meta"), phone_country="'+61'")
    with pytest.raises(
        DeclarationError, match=r"repeat_consumption: Input should be a valid boolean. Received: 'daily'"
    ):
        declare("sqlite:///x", TABLES.format(meta="meta"), repeat_consumption="daily")


def test_items_are_taken_once_unless_the_platform_says_otherwise(declare) -> None:
    """Only YAML's own true and false: dbt reads the same line, and takes any text for true."""
    tables = TABLES.format(meta="meta")
    assert not declare("sqlite:///x", tables).repeat_consumption
    assert declare("sqlite:///x", tables, repeat_consumption="true").repeat_consumption
    with pytest.raises(DeclarationError, match=r"repeat_consumption: .* Received: 'false'"):
        declare("sqlite:///x", tables, repeat_consumption='"false"')


@pytest.mark.parametrize(
    ("declared", "named_on"),
    [
        ({}, {"shop"}),
        ({"shares_reasons_with": "none"}, {"shop"}),
        ({"shares_reasons_with": "[]"}, {"shop"}),
        ({"shares_reasons_with": "[forum]"}, {"shop", "forum"}),
        ({"shares_reasons_with": "all"}, {"shop", "forum", "no", "stream"}),
    ],
)
def test_what_people_did_is_named_where_the_platform_says_so_and_on_itself(
    declare, tmp_path, declared, named_on
) -> None:
    (tmp_path / "staging" / "forum").mkdir(parents=True)
    (tmp_path / "staging" / "forum" / "_forum__sources.yml").touch()
    shop = declare("sqlite:///x", TABLES.format(meta="meta"), **declared)
    assert {name for name in ("forum", "no", "shop", "stream") if shop.is_named_on(name)} == named_on


@pytest.mark.parametrize(
    ("declared", "message"),
    [
        ("[forum, strem]", r"shares_reasons_with: no such platform. Received: forum, strem. .* there are shop"),
        ("true", r"shares_reasons_with: write all, none, or a list of platforms such as .* Received: True"),
        ("forum", r"shares_reasons_with: write all, none, or a list .* Received: 'forum'"),
        ("[1]", r"shares_reasons_with: write all, none, or a list .* Received: \[1\]"),
    ],
)
def test_a_sharing_policy_that_cannot_be_meant_is_told(declare, declared: str, message: str) -> None:
    with pytest.raises(DeclarationError, match=r"platform 'shop': " + message) as raised:
        declare("sqlite:///x", TABLES.format(meta="meta"), shares_reasons_with=declared)
    assert "_shop__sources.yml" in str(raised.value)


def test_every_fault_of_every_file_is_told_at_once(tmp_path: Path) -> None:
    for name, text in {"shop": "sources: [{name: stream, tables: []}]", "broken": "sources: [", "empty": ""}.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / f"_{name}__sources.yml").write_text(text)
    with pytest.raises(DeclarationError) as raised:
        load_platforms(tmp_path)
    assert "broken" in str(raised.value)
    assert "platform 'stream': connection: Field required" in str(raised.value)
    assert "platform 'stream': tables: " in str(raised.value)


def test_a_platform_lives_in_the_folder_of_its_name(declare, tmp_path: Path) -> None:
    declare("sqlite:///x", TABLES.format(meta="meta"))
    (tmp_path / "staging" / "shop").rename(tmp_path / "staging" / "store")
    with pytest.raises(DeclarationError, match="platform 'shop': declared in the folder of another"):
        load_platforms(tmp_path / "staging")


def test_the_environment_goes_before_the_demo(declare, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    platform = declare("sqlite:///{demo}/shop.sqlite", TABLES.format(meta="meta"))
    assert platform.address(settings).path == f"{settings.demo_path}/shop.sqlite"
    monkeypatch.setenv("CROSSREC_SHOP_URL", "postgres://me:p%40ss@db.example:5433/shop?sslmode=require")
    assert platform.address(settings) == (
        ("postgresql", "db.example", 5433, "me", "p@ss", "/shop", {"sslmode": "require"})
    )
    monkeypatch.setenv("CROSSREC_SHOP_URL", "s3://bucket/pre/fix")
    assert platform.address(settings)[:2] == ("s3", "bucket")


@pytest.mark.parametrize(
    "url", ["oracle://me:secret@host/db", "sqlite://relative.db", "mysql://me:secret@host:x/db", ""]
)
def test_an_unusable_url_is_told_without_its_password(url: str, declare, settings, monkeypatch) -> None:
    platform = declare("sqlite:///x", TABLES.format(meta="meta"))
    monkeypatch.setenv("CROSSREC_SHOP_URL", url)
    with pytest.raises(
        PlatformError, match=r"platform 'shop': no usable connection. .* set CROSSREC_SHOP_URL"
    ) as raised:
        platform.address(settings)
    assert "secret" not in str(raised.value)
    assert not raised.value.retryable


def test_a_platform_widens_metrics_of_the_gate_by_their_names(declare):
    platform = declare("sqlite:///x", TABLES.format(meta="meta"), gate_bounds="{items.price: 3.0}")
    assert platform.gate_bounds == {"items.price": 3.0}
    with pytest.raises(
        DeclarationError, match=r"gate_bounds: the gate has no metric items\.prices\. Near: items\.price"
    ):
        declare("sqlite:///x", TABLES.format(meta="meta"), gate_bounds="{items.prices: 3.0}")
    with pytest.raises(DeclarationError, match=r"gate_bounds: a factor under 1 would narrow items\.price"):
        declare("sqlite:///x", TABLES.format(meta="meta"), gate_bounds="{items.price: 0.5}")


WHOLE: Any = {
    "sources": [
        {
            "name": "shop",
            "config": {
                "meta": {"connection": "CROSSREC_SHOP_URL", "demo": "sqlite:///x", "write_back": {"table": "t"}}
            },
            "meta": {"shares_reasons_with": ["shop"]},
            "tables": [
                {
                    "name": "orders",
                    "config": {"meta": {"key": ["order_no"], "contract": "events", "watermark": "changed"}},
                    "columns": [
                        {"name": "order_no", "data_type": "VARCHAR"},
                        {"name": "changed"},
                        {"name": "mail", "config": {"meta": {"identifier": "token", "kind": "email"}}},
                    ],
                }
            ],
        }
    ]
}
SHAPES: list[Any] = [
    None,
    [],
    {},
    "text",
    5,
    1.5,
    True,
    [None],
    ["text"],
    [[]],
    {1: 2},
    {"name": None},
    {"name": []},
    date(2000, 1, 1),
]


def places(node: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The way to every node of the YAML."""
    yield path
    children = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for name, child in children:
        yield from places(child, (*path, name))


def with_shape(node: Any, path: tuple[Any, ...], shape: Any) -> Any:
    """The YAML with ``shape`` in the place of one node."""
    if not path:
        return shape
    changed = copy.copy(node)
    changed[path[0]] = with_shape(node[path[0]], path[1:], shape)
    return changed


@pytest.mark.parametrize("place", places(WHOLE), ids=lambda place: ".".join(map(str, place)) or "file")
def test_yaml_of_any_other_shape_is_a_fault_of_the_declaration(place: tuple[Any, ...], tmp_path: Path) -> None:
    file = tmp_path / "shop" / "_shop__sources.yml"
    file.parent.mkdir()
    file.write_text(yaml.safe_dump(WHOLE))
    assert load_platforms(tmp_path)
    for shape in SHAPES:
        file.write_text(yaml.safe_dump(with_shape(WHOLE, place, shape)))
        with contextlib.suppress(DeclarationError):
            load_platforms(tmp_path)


@pytest.mark.parametrize(
    ("text", "received"),
    [
        ("- sources", "the file is a list, and not a mapping"),
        ("sources: {name: shop}", "sources is a mapping, and not a list"),
        ("sources: [shop]", "a source is a text or number, and not a mapping"),
        ("sources: [{name: shop, tables: orders}]", "'tables' of source 'shop' is a text or number, and not a list"),
        ("sources: [{name: shop, tables: [{name: a, columns: [b]}]}]", "a column of table 'a' is a text or number"),
        ("sources: [{name: shop, meta: [1]}]", "'meta' of source 'shop' is a list, and not a mapping"),
    ],
)
def test_another_shape_is_named_with_its_place(text: str, received: str, tmp_path: Path) -> None:
    file = tmp_path / "shop" / "_shop__sources.yml"
    file.parent.mkdir()
    file.write_text(text)
    with pytest.raises(DeclarationError, match=f"not a sources file. Received: {received}.*Remedy: correct"):
        load_platforms(tmp_path)
