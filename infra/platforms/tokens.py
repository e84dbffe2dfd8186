"""Keyed tokens for what identifies a person, computed in SQL: the same e-mail or phone gives the same token everywhere.

HMAC-SHA256 (RFC 2104): ``sha256((key ^ opad) || sha256((key ^ ipad) || message))``. The message starts with the kind,
so that no e-mail can ever have the token of a phone. The two key blocks reach DuckDB as parameters of the statement.
"""

import hashlib

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

    Null where either part is empty: 'n/a' must not make one person of all who wrote it.
    """
    address = rf"lower(regexp_replace(nfc_normalize({column}::varchar), '\s', '', 'g'))"
    local = rf"replace(regexp_extract({address}, '^([^@+]*)[^@]*@[^@]+$', 1), '.', '')"
    domain = rf"regexp_extract({address}, '@([^@]+)$', 1)"
    return f"nullif({local}, '') || '@' || nullif({domain}, '')"


def normal_phone(column: str, phone_country: str) -> str:
    r"""SQL of a phone number as it is compared: calling code and number, digits only.

    '+61 2 1234 5678', '0061 (0)2 1234 5678' and, where ``phone_country`` is 61, '(02) 1234 5678' are one number. One
    without '+', '00' or '0' in front stays as it is. Null with fewer than six digits or nothing but zeros.
    """
    number = rf"regexp_replace({column}::varchar, '^\s*(\+|00)([^(]*)\(0\)', '\1\2')"
    digits = rf"regexp_replace({number}, '[^0-9]', '', 'g')"
    international = rf"regexp_matches({number}, '^[^0-9+]*\+') or starts_with({digits}, '00')"
    national = f"regexp_replace({digits}, '^0', '{phone_country}')"
    full = f"case when {international} then ltrim({digits}, '0') else {national} end"
    return f"case when length({digits}) >= 6 and ltrim({digits}, '0') <> '' then {full} end"


def normal_code(column: str) -> str:
    r"""SQL of a device or loyalty id as it is compared: letters and digits, lower case. Null with fewer than six."""
    code = rf"lower(regexp_replace({column}::varchar, '[^\p{{L}}\p{{N}}]', '', 'g'))"
    return f"case when length({code}) >= 6 and ltrim({code}, '0') <> '' then {code} end"
