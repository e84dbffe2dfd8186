"""Numbers and other values of the sources: each is read, or its row goes to quarantine by name."""

import math
import re

import duckdb
import pytest

from infra.warehouse import DBT_PROJECT
from tests.compiled import compiled_text

GERMAN = {"source.blog.articles": {"source_name": "blog", "source_meta": {"decimal_mark": ","}}}


class Source(dict):
    """A source of dbt's graph, whose keys are attributes in templates."""

    __getattr__ = dict.__getitem__


def number(value: object, platform: str, kind: str = "varchar") -> float | None:
    sources = {name: Source(source) for name, source in GERMAN.items()}
    sql = compiled_text("{{ number('v') }}", sources=sources, platform=platform)
    [(found,)] = duckdb.execute(f"select {sql} from (select $value::{kind} as v)", {"value": value}).fetchall()
    return found


@pytest.mark.parametrize(
    ("text", "plain", "german"),
    [
        ("12", 12, 12),
        ("12.5", 12.5, math.nan),
        ("12,50", math.nan, 12.5),
        ("1.299,50", math.nan, 1299.5),
        ("1.299", 1.299, 1299),
        ("1,299.00", math.nan, math.nan),
        ("-0,5", math.nan, -0.5),
        ("1.29,5", math.nan, math.nan),
        ("$9.99", math.nan, math.nan),
        ("1e999", math.nan, math.nan),
        ("inf", math.nan, math.nan),
        ("NaN", math.nan, math.nan),
        (" ", None, None),
        (None, None, None),
    ],
)
def test_a_number_is_read_with_the_decimal_mark_that_its_platform_declares(text, plain, german) -> None:
    assert number(text, "shop") == pytest.approx(plain, nan_ok=True)
    assert number(text, "blog") == pytest.approx(german, nan_ok=True)


def test_a_column_of_numbers_needs_no_mark() -> None:
    assert number(12.5, "blog", "double") == number(12.5, "blog", "decimal(8,3)") == 12.5


@pytest.mark.parametrize("file", sorted(DBT_PROJECT.glob("models/staging/*/stg_*.sql")), ids=lambda file: file.stem)
def test_no_text_becomes_null_without_a_word(file) -> None:
    """Every column that a staging model casts is named in `unfit_values`, so that its row is rejected where the cast fails."""
    sql = file.read_text()
    casts = {tuple(cast) for cast in re.findall(r"try_cast\((\w+) as (\w+)\)", sql)}
    named = {
        tuple(cast)
        for call in re.findall(r"unfit_values\((.*?)\)", sql)
        for cast in re.findall(r"'(\w+)': '(\w+)'", call)
    }
    assert casts == named
