"""Keyed tokens for what identifies a person, computed in SQL: the same e-mail or phone gives the same token everywhere.

HMAC-SHA256 (RFC 2104): ``sha256((key ^ opad) || sha256((key ^ ipad) || message))``. The message starts with the kind,
so that no e-mail can ever have the token of a phone. The two key blocks reach DuckDB as parameters of the statement.
"""

import hashlib
import re

import duckdb
import phonenumbers
import pyarrow as pa
from duckdb.sqltypes import VARCHAR
from pydantic import SecretStr

BLOCK = 64  # bytes of SHA-256's block


def key_blocks(key: SecretStr) -> dict[str, bytes]:
    """The parameters ``inner_key`` and ``outer_key`` of every statement with a token in it."""
    secret = key.get_secret_value().encode()
    block = (hashlib.sha256(secret).digest() if len(secret) > BLOCK else secret).ljust(BLOCK, b"\0")
    return {"inner_key": bytes(byte ^ 0x36 for byte in block), "outer_key": bytes(byte ^ 0x5C for byte in block)}


def token(column: str, kind: str, phone_country: str) -> str:
    """SQL of the token of a quoted column: 64 hexadecimal digits, or null where the column holds nothing usable."""
    normal = {"email": normal_email(column), "phone": normal_phone(column, phone_country)}.get(
        kind, normal_code(column)
    )
    return f"sha256($outer_key || unhex(sha256($inner_key || encode('{kind}:' || {normal}))))"


def normal_email(column: str) -> str:
    r"""SQL of an e-mail as it is compared: lower case, the local part without dots and '+suffix'.

    Spaces and characters that nobody sees are left out, as are 'mailto:' and a name before '<...>'. Null where either part
    is empty: 'n/a' must not make one person of all who wrote it.
    """
    seen = rf"lower(regexp_replace(nfc_normalize({column}::varchar), '[\s\p{{Z}}\p{{C}}]', '', 'g'))"
    bare = rf"regexp_replace({seen}, '^.*<([^<>]*)>$', '\1')"
    address = f"regexp_replace({bare}, '^mailto:', '')"
    local = rf"replace(regexp_extract({address}, '^([^@+]*)[^@]*@[^@]+$', 1), '.', '')"
    domain = rf"regexp_extract({address}, '@([^@]+)$', 1)"
    return f"nullif({local}, '') || '@' || nullif({domain}, '')"


def normal_phone(column: str, phone_country: str) -> str:
    """SQL of a phone number as it is compared: calling code and number, digits only; see `register_phones`.

    Null with fewer than six digits or nothing but zeros.
    """
    return f"called_number({column}::varchar, '{phone_country}')"


def register_phones(connection: duckdb.DuckDBPyConnection) -> None:
    """Give the connection ``called_number(text, calling code)``, which reads a number as somebody of that country dials it.

    Google's rules of every country say which digits lead out of it and which are a part of the number: '+39 06 1234567' keeps its 0,
    '+44 (0)20 7946 0000' does not. So '(555) 123-4567' with calling code 1 is '+1 555 123 4567'.
    """
    connection.create_function(  # type: ignore[call-overload]  # the stub knows functions of single values only
        "called_number", _called_numbers, [VARCHAR, VARCHAR], VARCHAR, type="arrow", null_handling="special"
    )


def _called_numbers(texts: pa.ChunkedArray, countries: pa.ChunkedArray) -> pa.ChunkedArray:
    """Each distinct text is parsed once; ``countries`` holds one calling code."""
    encoded = pa.chunked_array(texts.chunks, pa.string()).combine_chunks().dictionary_encode()
    if not len(encoded):
        return pa.chunked_array([pa.array([], pa.string())])
    country = int(countries[0].as_py())
    called = pa.array([_called(text, country) for text in encoded.dictionary.to_pylist()], pa.string())
    return pa.chunked_array([called.take(encoded.indices)])


def _called(text: str, country: int) -> str | None:
    try:
        number = phonenumbers.parse(re.sub(r"^\s*00", "+", text), phonenumbers.region_code_for_country_code(country))
    except phonenumbers.NumberParseException:
        return None
    digits = (
        f"{'0' * (number.number_of_leading_zeros or 1) if number.italian_leading_zero else ''}{number.national_number}"
    )
    return f"{number.country_code}{digits}" if len(digits) >= 6 and digits.strip("0") else None


def normal_code(column: str) -> str:
    r"""SQL of a device or loyalty id as it is compared: letters and digits, lower case. Null with fewer than six."""
    code = rf"lower(regexp_replace({column}::varchar, '[^\p{{L}}\p{{N}}]', '', 'g'))"
    return f"case when length({code}) >= 6 and ltrim({code}, '0') <> '' then {code} end"
