"""Tokens against Python's own hmac, and what counts as the same e-mail or phone."""

import hashlib
import hmac

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import SecretStr

from infra.platforms.tokens import key_blocks, normal_email, normal_phone, register_phones, token

CONNECTION = duckdb.connect()
register_phones(CONNECTION)


def computed(sql: str, value: object, **parameters: object) -> object:
    return CONNECTION.execute(f"select {sql} from (select $value as v)", {"value": value, **parameters}).fetchall()[0][
        0
    ]


@settings(max_examples=50, deadline=None)
@given(key=st.text(min_size=1, max_size=100), local=st.from_regex(r"[a-z0-9]{1,40}", fullmatch=True))
def test_a_token_is_an_hmac(key: str, local: str) -> None:
    found = computed(token("v", "email", "61"), f"{local}@x.org", **key_blocks(SecretStr(key)))
    assert found == hmac.new(key.encode(), f"email:{local}@x.org".encode(), hashlib.sha256).hexdigest()


def test_no_email_has_the_token_of_a_phone() -> None:
    blocks = key_blocks(SecretStr("key"))
    assert computed(token("v", "phone", "61"), "+61 2 1234 5678", **blocks) == (
        hmac.new(b"key", b"phone:61212345678", hashlib.sha256).hexdigest()
    )


@pytest.mark.parametrize(
    ("written", "normal"),
    [
        (" John.Smith+news@Example.COM\t", "johnsmith@example.com"),
        ("a.b.@x.org", "ab@x.org"),
        ("ÄÖ@x.org", "äö@x.org"),
        ("cafe\u0301@x.org", "caf\u00e9@x.org"),
        ("a+b+c@x.org", "a@x.org"),
        ("ada@example.com\u00a0", "ada@example.com"),
        ("\u200bada\u200d@example.com\ufeff", "ada@example.com"),
        ("mailto:Ada@example.com", "ada@example.com"),
        ("Ada Lovelace <ada@example.com>", "ada@example.com"),
        ("n/a", None),
        ("@x.org", None),
        ("a@", None),
        ("+a@x.org", None),
        ("a@b@x.org", None),
        ("", None),
        (None, None),
    ],
)
def test_the_same_email(written: str | None, normal: str | None) -> None:
    assert computed(normal_email("v"), written) == normal


@pytest.mark.parametrize(
    ("written", "normal"),
    [
        ("+61 2 1234 5678", "61212345678"),
        ("(+61) 2 1234-5678", "61212345678"),
        ("0061 (0)2 1234 5678", "61212345678"),
        ("(02) 1234 5678", "61212345678"),
        ("61212345678", "61212345678"),
        (212345678, "61212345678"),
        ("+44 (0)20 7946 0000", "442079460000"),
        ("12345", None),
        ("000 000 000", None),
        ("unknown", None),
        ("", None),
        (None, None),
    ],
)
def test_the_same_phone(written: object, normal: str | None) -> None:
    assert computed(normal_phone("v", "61"), written) == normal


@pytest.mark.parametrize(
    ("country", "national", "international", "normal"),
    [
        ("1", "(555) 123-4567", "+1 555 123 4567", "15551234567"),
        ("39", "06 6982 1234", "+39 06 6982 1234", "390669821234"),
        ("49", "030 123456", "+49 (0)30 123456", "4930123456"),
        ("81", "03-1234-5678", "+81 3 1234 5678", "81312345678"),
        ("7", "8 (495) 123-45-67", "+7 495 123 45 67", "74951234567"),
    ],
)
def test_national_numbers_of_any_country(country: str, national: str, international: str, normal: str) -> None:
    assert computed(normal_phone("v", country), national) == computed(normal_phone("v", "61"), international) == normal
