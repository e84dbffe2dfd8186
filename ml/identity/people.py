"""Accounts that may be one person: which of their columns are compared, and how."""

from collections.abc import Collection
from typing import TYPE_CHECKING

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from ml.identity.linkage import LinkageSpec, Shared

if TYPE_CHECKING:
    from splink.internals.comparison_creator import ComparisonCreator
    from splink.internals.comparison_level_creator import ComparisonLevelCreator

LONGEST_NAME = 1000  # characters; a longer text is no name, and comparing two of them would take hours
TOKENS = ("email_token", "phone_token", "device_token", "loyalty_token")
VAULT = ("given_name", "surname", "birth_date", "street", "suburb", "postcode", "state")
INTERESTS = "interests"


def person_comparisons() -> "list[ComparisonCreator]":
    """Tokens, what the vault holds, and interests; the m probabilities are where expectation maximisation starts."""
    import splink.comparison_level_library as levels
    from splink.comparison_library import CustomComparison

    def fixed(level: "ComparisonLevelCreator", m: float, u: float) -> "ComparisonLevelCreator":
        return level.configure(m_probability=m, u_probability=u, fix_m_probability=True, fix_u_probability=True)

    def text(column: str, *between: "ComparisonLevelCreator", frequency: bool = True) -> "ComparisonCreator":
        return CustomComparison(
            output_column_name=column,
            comparison_levels=[
                levels.NullLevel(column),
                levels.ExactMatchLevel(column, term_frequency_adjustments=frequency).configure(m_probability=0.72),
                *between,
                levels.JaroWinklerLevel(column, 0.92).configure(m_probability=0.09),
                levels.JaroWinklerLevel(column, 0.8).configure(m_probability=0.06),
                levels.ElseLevel().configure(m_probability=0.13 - 0.02 * len(between)),
            ],
        )

    def swapped(column: str, other: str) -> "ComparisonLevelCreator":
        return levels.CustomLevel(
            f"jaro_winkler_similarity({column}_l, {other}_r) >= 0.9", f"{column} is the other's {other}"
        ).configure(m_probability=0.02)

    def digits(column: str) -> "ComparisonCreator":
        return CustomComparison(
            output_column_name=column,
            comparison_levels=[
                levels.NullLevel(column),
                levels.ExactMatchLevel(column, term_frequency_adjustments=True).configure(m_probability=0.8),
                levels.DamerauLevenshteinLevel(column, 1).configure(m_probability=0.08),
                levels.DamerauLevenshteinLevel(column, 2).configure(m_probability=0.04),
                levels.ElseLevel().configure(m_probability=0.08),
            ],
        )

    def token(column: str) -> "ComparisonCreator":
        """An equal token is worth what LinkageSpec.certain declares. Another token tells little, because people have several."""
        return CustomComparison(
            output_column_name=column,
            comparison_levels=[
                levels.NullLevel(column),
                fixed(levels.ExactMatchLevel(column).configure(label_for_charts="equal"), 0.5, 1e-6),
                fixed(levels.ElseLevel(), 0.5, 1.0),
            ],
        )

    # who shares a home, a phone and a surname, but neither given name nor birthday, is another one of the family
    another = (
        "jaro_winkler_similarity(given_name_l, given_name_r) < 0.75"
        " and jaro_winkler_similarity(given_name_l, surname_r) < 0.9"
        " and damerau_levenshtein(birth_date_l, birth_date_r) > 2"
    )
    household = CustomComparison(
        output_column_name="household",
        comparison_levels=[
            levels.CustomLevel(f"({another}) is null", "unknown").configure(is_null_level=True),
            fixed(levels.CustomLevel(another, "another one of the household"), 0.001, 1.0),
            fixed(levels.ElseLevel(), 1.0, 1.0),
        ],
    )

    def alike(cosine: float) -> "ComparisonLevelCreator":
        # Splink's own level wants arrays of a fixed length
        return levels.CustomLevel(
            f"list_cosine_similarity({INTERESTS}_l, {INTERESTS}_r) >= {cosine}", f"cosine >= {cosine}"
        )

    interests = CustomComparison(
        output_column_name=INTERESTS,
        comparison_levels=[
            levels.NullLevel(INTERESTS),
            alike(0.9).configure(m_probability=0.2),
            alike(0.8).configure(m_probability=0.25),
            alike(0.5).configure(m_probability=0.3),
            alike(0.2).configure(m_probability=0.15),
            levels.ElseLevel().configure(m_probability=0.1),
        ],
    )
    return [
        *(token(column) for column in TOKENS),
        text("given_name", swapped("given_name", "surname")),
        text("surname", swapped("surname", "given_name")),
        digits("birth_date"),
        text("street", frequency=False),
        text("suburb"),
        digits("postcode"),
        CustomComparison(
            output_column_name="state",
            comparison_levels=[
                levels.NullLevel("state"),
                levels.ExactMatchLevel("state").configure(m_probability=0.9),
                levels.ElseLevel().configure(m_probability=0.1),
            ],
        ),
        household,
        interests,
    ]


# a suburb mostly has one postcode; who has surname and address in common is one person or a family, not yet told apart
PLACE = Shared(["suburb", "postcode", "state"])
HOME = Shared(["surname", "street", PLACE], 0.8)
HOUSEHOLD = Shared([HOME, "phone_token", "device_token"], 0.97)

PEOPLE = LinkageSpec(
    name="people",
    comparisons=person_comparisons,
    # an address is somebody's own; a phone or a device may be the family's
    certain={"email_token": 0.999, "phone_token": 0.97, "device_token": 0.9, "loyalty_token": 0.999},
    blocks=[
        *TOKENS,
        # a birth date alone gives most of the pairs of a million accounts, and nearly all of them strangers
        "birth_date || '|' || left(given_name, 1)",
        "birth_date || '|' || left(surname, 1)",
        "birth_date || '|' || left(postcode, 2)",
        # the right way round or the wrong one
        "least(given_name, surname) || '|' || greatest(given_name, surname)",
        "street",
        "surname || '|' || postcode",
        "given_name || '|' || postcode",
        "surname || '|' || suburb",
        "given_name || '|' || suburb",
        "left(street, 4) || '|' || postcode",
        "left(street, 4) || '|' || suburb",
        "left(birth_date, 4) || right(birth_date, 2) || '|' || left(given_name, 3)",
    ],
    anchors=[
        "birth_date || '|' || surname",
        "given_name || '|' || surname || '|' || postcode",
        "email_token",
    ],
    anchor_recall=0.85,
    term_frequencies=["given_name", "surname", "birth_date", "suburb", "postcode"],
    shared=HOUSEHOLD,
    shared_excess="household",
)


def person_records(
    accounts: pa.Table,
    vault: pa.Table,
    interests: pa.Table,
    one_account_platforms: Collection[str],
    max_accounts_per_token: int,
) -> pa.Table:
    """Accounts as they are compared: with equal spelling, and without values that cannot tell people apart.

    Names keep the letters of any script. A single Latin letter is an initial and becomes null. Birth dates become YYYYMMDD
    from any order, impossible dates too, because a typing error is still near the truth. A time and a zone after the date
    are dropped. A token that more than ``max_accounts_per_token`` accounts share (a family's phone, ``info@``) links nobody.

    Args:
        accounts: ``platform``, ``id`` and TOKENS, all string.
        vault: ``platform``, ``id``, VAULT and ``full_name``, all string, as the platforms write them.
        interests: ``platform``, ``id``, ``interests`` (list of float32).
        one_account_platforms: platforms on which nobody has two accounts.

    Returns:
        ``platform``, ``id``, ``alone``, TOKENS, VAULT, ``interests`` and ``fingerprint`` (changes with any of them),
        sorted by platform and id.
    """
    tokens = ", ".join(
        f"case when {token} <> '' and count(*) over (partition by {token}) <= {max_accounts_per_token} then {token} end"
        f" as {token}"
        for token in TOKENS
    )
    with duckdb.connect() as connection:
        for name, table in (("accounts", accounts), ("vault", vault), ("interests", interests)):
            connection.register(name, table)
        return connection.execute(
            rf"""
            with named as (
                select
                    * exclude full_name
                    replace (
                        coalesce(nullif(trim(given_name), ''), regexp_extract(trim(full_name), '^(.*\S)\s+\S+$', 1)) as given_name,
                        coalesce(nullif(trim(surname), ''), regexp_extract(trim(full_name), '(\S+)$', 1)) as surname
                    )
                from vault
            ),
            level as (
                select
                    platform,
                    id,
                    {_letters("given_name")} as given_name,
                    {_letters("surname")} as surname,
                    {_date("birth_date")} as birth_date,
                    {_letters("street")} as street,
                    {_letters("suburb")} as suburb,
                    replace({_letters("postcode")}, ' ', '') as postcode,
                    {_letters("state")} as state
                from named
            ),
            compared as (
                select
                    platform,
                    id,
                    list_contains($alone, platform) as alone,
                    {tokens},
                    {", ".join(f"nullif({column}, '') as {column}" for column in VAULT)},
                    cast(interests.interests as float[]) as interests
                from accounts
                left join level using (platform, id)
                left join interests using (platform, id)
            )
            select
                *,
                md5(concat_ws('|', alone, {", ".join(f"coalesce({c}, '~')" for c in (*TOKENS, *VAULT))},
                    cast(interests as varchar))) as fingerprint
            from compared
            order by platform, id
            """,
            {"alone": sorted(one_account_platforms)},
        ).to_arrow_table()


def overshared_tokens(accounts: pa.Table, max_accounts: int) -> int:
    """How many tokens more than ``max_accounts`` accounts share, and so link nobody; ``accounts`` has TOKENS."""
    counts = [accounts.filter(pc.field(token) != "")[token].value_counts().field("counts") for token in TOKENS]
    return sum(pc.sum(pc.greater(count, max_accounts)).as_py() or 0 for count in counts)


def _letters(column: str) -> str:
    """SQL of a text with lower-case letters, digits and single spaces, without accents.

    A single Latin letter is null, and so is a text that is longer than any name.
    """
    # in other scripts the marks are vowels, or other letters
    accented = rf"regexp_full_match({column}, '[\p{{Latin}}\p{{Greek}}\p{{Cyrillic}}\p{{Common}}\p{{Inherited}}]*')"
    plain = f"case when {accented} then strip_accents(nfc_normalize({column})) else nfc_normalize({column}) end"
    text = rf"trim(regexp_replace(lower({plain}), '[^\p{{L}}\p{{M}}\p{{N}}]+', ' ', 'g'))"
    return rf"case when length({column}) <= {LONGEST_NAME} and not regexp_full_match({text}, '[a-z]?') then {text} end"


def _date(column: str) -> str:
    """SQL of a date as YYYYMMDD from ISO order or day first, without a time; null where not eight digits or all equal."""
    year, part, time = "([0-9]{4})", "([0-9]{1,2})", "([^0-9].*)?$"
    iso = rf"regexp_replace({column}, '^\s*{year}[^0-9]+{part}[^0-9]+{part}{time}', '\1-0\2-0\3')"
    either = rf"regexp_replace({iso}, '^\s*{part}[^0-9]+{part}[^0-9]+{year}{time}', '\3-0\2-0\1')"
    plain = rf"regexp_replace({either}, '^\s*([0-9]{{8}})[T ][0-9].*$', '\1')"
    digits = rf"regexp_replace(regexp_replace({plain}, '-0([0-9]{{2}})', '-\1', 'g'), '[^0-9]', '', 'g')"
    return f"case when length({digits}) = 8 and replace({digits}, left({digits}, 1), '') <> '' then {digits} end"
