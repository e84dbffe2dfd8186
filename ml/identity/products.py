"""Items that may be one product: which of their columns are compared, and how."""

import itertools
import re
import unicodedata
from collections.abc import Collection
from typing import TYPE_CHECKING

import duckdb
import pyarrow as pa

from ml.identity.linkage import LinkageSpec

if TYPE_CHECKING:
    from splink.internals.comparison_creator import ComparisonCreator
    from splink.internals.comparison_level_creator import ComparisonLevelCreator

CODES = ("gtin", "isbn", "imdb_id")
COMPARED = (*CODES, "title", "alternative", "joined", "numerals", "release_year", "namesakes", "creator", "price")
SAME_CODE = " or ".join(f"coalesce({code}_l = {code}_r, false)" for code in CODES)

ARTICLES = "the|a|an|le|la|les|l'|el|il|der|die|das|den|det|los|las|un|une"
PARTS = ("part", "pt", "vol", "volume", "chapter", "episode", "season", "series", "book", "no")
ROMANS = ("i", "ii", "iii", "iv", "v", "vi", "vii", "viii", "ix", "x", "xi", "xii", "xiii")
WORDS = ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
SEQUEL_IN_BRACKETS = re.compile(
    rf"\(((?:{'|'.join(PARTS)})\b[. ]*(?:[0-9]+|{'|'.join((*ROMANS, *WORDS))})|[0-9]{{1,2}})\)"
)
BRACKETS_AT_END = re.compile(r"(\s*\([^)]*\))+\s*$")
YEAR_AT_END = re.compile(r"\(([0-9]{4})\)\s*$")
ARTICLE_AT_END = re.compile(rf"^(.*), ({ARTICLES})(?!\w)(.*)$")


def product_comparisons() -> "list[ComparisonCreator]":
    """Codes, titles, years, creators and prices; what speaks against is declared, and so no training can unlearn it."""
    import splink.comparison_level_library as levels
    from splink.comparison_library import CustomComparison

    def fixed(level: "ComparisonLevelCreator", m: float, u: float) -> "ComparisonLevelCreator":
        return level.configure(m_probability=m, u_probability=u, fix_m_probability=True, fix_u_probability=True)

    def code(column: str, other: float) -> "ComparisonCreator":
        """An equal code is worth what LinkageSpec.certain declares; ``other`` is the m of another code, where u is 1."""
        return CustomComparison(
            output_column_name=column,
            comparison_levels=[
                levels.NullLevel(column),
                fixed(levels.ExactMatchLevel(column).configure(label_for_charts="equal"), 0.5, 1e-6),
                fixed(levels.ElseLevel(), other, 1.0),
            ],
        )

    def agreeing(level: "ComparisonLevelCreator", m: float, u: float) -> "ComparisonLevelCreator":
        """A level of ``title``. Random pairs whose titles agree are mostly one product, so their share is no u."""
        return level.configure(m_probability=m, u_probability=u, fix_u_probability=True)

    def words(column: str, side: str) -> str:
        return f"string_split({column}_{side}, ' ')"

    # of short titles too many are another's typing error: Twister and Twisted, The Bear and The Fear
    letters = f"least(length({_stem('title_l')}), length({_stem('title_r')}))"
    typing_error = (
        f"damerau_levenshtein(title_l, title_r) <= case when {letters} >= 16 then 2 else 1 end and {letters} >= 8"
    )
    title = CustomComparison(
        output_column_name="title",
        comparison_levels=[
            levels.NullLevel("title"),
            agreeing(levels.ExactMatchLevel("title"), 0.8, 1e-5),
            agreeing(
                levels.CustomLevel(
                    "title_l = alternative_r or alternative_l = title_r or joined_l = joined_r"
                    f" or list_sort({words('title', 'l')}) = list_sort({words('title', 'r')})",
                    "other spelling, order or name",
                ),
                0.05,
                1e-6,
            ),
            agreeing(levels.CustomLevel(typing_error, "typing error"), 0.05, 4e-6),
            agreeing(
                levels.CustomLevel(
                    f"least(len({words('title', 'l')}), len({words('title', 'r')})) >= 2 and"
                    f" (list_has_all({words('title', 'l')}, {words('title', 'r')})"
                    f" or list_has_all({words('title', 'r')}, {words('title', 'l')}))",
                    "more words",
                ),
                0.03,
                3e-4,
            ),
            agreeing(levels.JaroWinklerLevel("title", 0.9), 0.04, 4e-4),
            fixed(levels.ElseLevel(), 0.03, 1.0),
        ],
    )
    release_year = CustomComparison(
        output_column_name="release_year",
        comparison_levels=[
            levels.NullLevel("release_year"),
            levels.ExactMatchLevel("release_year").configure(m_probability=0.85),
            levels.CustomLevel("abs(release_year_l - release_year_r) = 1", "off by one").configure(m_probability=0.1),
            fixed(levels.ElseLevel(), 0.05, 1.0),
        ],
    )
    # a code that both bear knows better: a book is reprinted, a film sold again under another name
    another = CustomComparison(
        output_column_name="another",
        comparison_levels=[
            levels.CustomLevel(SAME_CODE, "same code").configure(is_null_level=True),
            fixed(levels.CustomLevel("numerals_l <> numerals_r", "another part"), 1e-6, 1.0),
            fixed(levels.CustomLevel("abs(release_year_l - release_year_r) > 1", "of another year"), 1e-6, 1.0),
            fixed(
                levels.CustomLevel(
                    "(release_year_l is null or release_year_r is null) and greatest(namesakes_l, namesakes_r) > 1",
                    "one of several of that name",
                ),
                0.01,
                1.0,
            ),
            fixed(levels.ElseLevel(), 1.0, 1.0),
        ],
    )
    creator = CustomComparison(
        output_column_name="creator",
        comparison_levels=[
            levels.NullLevel("creator"),
            levels.ExactMatchLevel("creator", term_frequency_adjustments=True).configure(m_probability=0.7),
            levels.JaroWinklerLevel("creator", 0.9).configure(m_probability=0.08),
            levels.CustomLevel(
                f"list_has_any({words('creator', 'l')}, {words('creator', 'r')})", "one of the names"
            ).configure(m_probability=0.12),
            fixed(levels.ElseLevel(), 0.1, 1.0),
        ],
    )
    price = CustomComparison(
        output_column_name="price",
        comparison_levels=[
            levels.NullLevel("price"),
            fixed(
                levels.CustomLevel("greatest(price_l, price_r) > 4 * least(price_l, price_r)", "far apart"), 0.1, 0.2
            ),
            fixed(levels.ElseLevel(), 0.9, 0.8),
        ],
    )
    return [
        code("gtin", 0.5),  # each edition has its own
        code("isbn", 0.5),
        code("imdb_id", 0.001),
        title,
        release_year,
        another,
        creator,
        price,
    ]


def _stem(title: str) -> str:
    return f"regexp_replace({title}, '^(the|a|an) ', '')"


TITLE_STEM = _stem("title")
YEAR = "cast(release_year as varchar)"

PRODUCTS = LinkageSpec(
    name="products",
    comparisons=product_comparisons,
    certain={"gtin": 0.9999, "isbn": 0.9999, "imdb_id": 0.9999},
    blocks=[
        *CODES,
        f"title || '|' || {YEAR}",  # a name that too many bear is still compared within its year
        "title",
        "coalesce(alternative, title)",
        "joined",
        "array_to_string(list_sort(string_split(title, ' ')), ' ')",
        f"left({TITLE_STEM}, 4) || '|' || {YEAR}",
        f"right(title, 4) || '|' || {YEAR}",
        f"left({TITLE_STEM}, 8)",
        "right(title, 8)",
        f"creator || '|' || left({TITLE_STEM}, 3)",
    ],
    anchors=[f"title || '|' || {YEAR}", "title || '|' || creator", *CODES],
    anchor_recall=0.95,
    term_frequencies=["creator"],
)


def item_records(items: pa.Table, one_item_platforms: Collection[str], max_items_per_code: int) -> pa.Table:
    """Items as they are compared: spelling levelled out, and nothing in a column that cannot tell products apart.

    A code that more than ``max_items_per_code`` items bear (a placeholder, a whole shelf's) links none. A year that a
    platform does not give is read from the brackets at the end of the title.

    Args:
        items: ``platform``, ``id``, ``title``, ``gtin``, ``isbn``, ``imdb_id``, ``creator`` (string), ``release_year``
            (int) and ``price`` (float), as the platforms write them.
        one_item_platforms: platforms that list no product twice.

    Returns:
        ``platform``, ``id``, ``alone``, CODES, ``title``, ``alternative`` (a second title), ``joined``, ``numerals`` (which part of a
        series), ``release_year``, ``namesakes`` (in how many years the one platform that knows most of them lists this
        title), ``creator``, ``price`` and ``fingerprint`` (changes with any of them), sorted by platform and id.
    """
    titles = [normalised_title(title) or None for title in items["title"].to_pylist()]
    gtins = [normalised_gtin(code) for code in items["gtin"].to_pylist()]
    isbns = [normalised_isbn(code) for code in items["isbn"].to_pylist()]
    # an ISBN is a GTIN: it stands in one column, so that it is compared with every other and counts once
    books = [gtin is not None and gtin.startswith(("978", "979")) for gtin in gtins]
    levelled = pa.table(
        {
            "platform": items["platform"],
            "id": items["id"],
            "gtin": pa.array([None if b else gtin for gtin, b in zip(gtins, books, strict=True)], pa.string()),
            "isbn": pa.array(
                [isbn or (gtin if b else None) for isbn, gtin, b in zip(isbns, gtins, books, strict=True)], pa.string()
            ),
            "imdb_id": pa.array([normalised_imdb_id(code) for code in items["imdb_id"].to_pylist()], pa.string()),
            "title": pa.array(titles, pa.string()),
            "alternative": pa.array([alternative_title(title) for title in items["title"].to_pylist()], pa.string()),
            "joined": pa.array([joined(title) if title else None for title in titles], pa.string()),
            "numerals": pa.array([numerals(title) if title else None for title in titles], pa.string()),
            "release_year": pa.array(
                [
                    year if year is not None else _year_of(title)
                    for year, title in zip(items["release_year"].to_pylist(), items["title"].to_pylist(), strict=True)
                ],
                pa.int64(),
            ),
            "creator": pa.array([normalised_creator(name) for name in items["creator"].to_pylist()], pa.string()),
            "price": items["price"].cast(pa.float64()),
        }
    )
    codes = ", ".join(
        f"case when count(*) over (partition by {code}) <= $most then {code} end as {code}" for code in CODES
    )
    with duckdb.connect() as connection:
        connection.register("levelled", levelled)
        return connection.execute(
            f"""
            with years as (
                select platform, title, count(distinct release_year) as years
                from levelled
                group by all
            ),
            names as (
                select title, max(years) as namesakes from years group by all
            ),
            records as (
                select
                    platform,
                    id,
                    list_contains($alone, platform) as alone,
                    {codes},
                    title,
                    alternative,
                    joined,
                    numerals,
                    release_year,
                    namesakes,
                    creator,
                    case when price > 0 and isfinite(price) then price end as price
                from levelled
                left join names using (title)
            )
            select
                *,
                md5(concat_ws('|', alone, {", ".join(f"coalesce(cast({c} as varchar), '~')" for c in COMPARED)}))
                    as fingerprint
            from records
            order by platform, id
            """,
            {"alone": sorted(one_item_platforms), "most": max_items_per_code},
        ).to_arrow_table()


def normalised_title(title: str | None) -> str:
    """A title without what spelling adds: case, accents, punctuation, brackets at the end, and the position of the article.

    ``"Matrix, The (1999)"`` and ``"The Matrix"`` both become ``"the matrix"``, ``"Seven (Se7en) (1995)"`` becomes
    ``"seven"``; ``"Kill Bill (Vol. 2)"`` keeps its part. Letters of every script stay.
    """
    text = BRACKETS_AT_END.sub("", SEQUEL_IN_BRACKETS.sub(r" \1", _plain(title)))
    return _letters(ARTICLE_AT_END.sub(r"\2 \1\3", text))


def alternative_title(title: str | None) -> str | None:
    """The title in brackets after the title, normalised: ``"se7en"`` of ``"Seven (Se7en) (1995)"``."""
    at_end = BRACKETS_AT_END.search(SEQUEL_IN_BRACKETS.sub(r" \1", _plain(title)))
    inside = re.findall(r"\(([^)]*)\)", at_end.group()) if at_end and at_end.start() else []
    names = [re.sub(r"^a\.?k\.?a\.? ", "", name) for name in inside if not re.fullmatch(r"[0-9]{4}", name)]
    return _letters(ARTICLE_AT_END.sub(r"\2 \1\3", names[0])) or None if names else None


def numerals(title: str) -> str:
    """The numbers of a normalised title, in order of the text; the first part of a series mostly goes without, so 1 does too.

    ``"rocky iii"`` and ``"rocky 3"`` give ``"3"``, ``"dune part two"`` gives ``"2"``, ``"toy story"`` gives ``""``.
    """
    numbers = (re.search(r"[0-9]+$", word) for word in _in_digits(title))
    found = (number.group().lstrip("0") for number in numbers if number)
    return " ".join(number for number in found if number not in ("", "1"))


def joined(title: str) -> str:
    """A normalised title without spaces, its numerals in digits: ``"rocky3"`` of ``"rocky iii"`` and ``"rocky 3"``."""
    return "".join(_in_digits(title))


def _in_digits(title: str) -> list[str]:
    """The words of a normalised title, with Roman numerals and the words that number a part as digits."""
    words = []
    for before, word in itertools.pairwise(["", *title.split()]):
        if word in ROMANS:
            words.append(str(ROMANS.index(word) + 1))
        elif word in WORDS and before in PARTS:
            words.append(str(WORDS.index(word) + 1))
        else:
            words.append(word)
    return words


def normalised_creator(name: str | None) -> str | None:
    """Names in any order: ``"King, Stephen"`` and ``"Stephen King"`` both become ``"king stephen"``."""
    return " ".join(sorted(_letters(_plain(name)).split())) or None


def normalised_gtin(code: str | None) -> str | None:
    """A GTIN-8, -12, -13 or -14 without leading zeros; None where the check digit is wrong or the number is a store's own.

    https://www.gs1.org/standards/id-keys/gtin, and the prefixes 02, 04 and 20-29 for restricted circulation.
    """
    digits = re.sub(r"[\s-]", "", code or "").lstrip("0")
    if not re.fullmatch(r"[0-9]{8,14}", digits) or sum(_weighted(digits.zfill(14), (3, 1))) % 10:
        return None
    return None if re.match(r"(00000)?(2|02|04)", digits.zfill(13)) else digits


def normalised_isbn(code: str | None) -> str | None:
    """An ISBN-10 or ISBN-13 as ISBN-13 of digits alone; None where the check digit is wrong."""
    text = re.sub(r"^isbn(-?1[03])?:?|[\s-]", "", (code or "").strip().lower())
    if re.fullmatch(r"[0-9]{9}[0-9x]", text):
        values = [10 if digit == "x" else int(digit) for digit in text]
        if sum(value * weight for value, weight in zip(values, range(10, 0, -1), strict=True)) % 11:
            return None
        stem = "978" + text[:9]
        return stem + str(-sum(_weighted(stem, (1, 3))) % 10)
    gtin = normalised_gtin(text)
    return gtin if gtin and re.fullmatch(r"97[89][0-9]{10}", gtin) else None


def normalised_imdb_id(code: str | None) -> str | None:
    """``tt`` and at least seven digits, from an id or an address that has one."""
    found = re.search(r"(?:^|tt)([0-9]+)(?![^/?])", (code or "").strip().lower())
    digits = found.group(1).lstrip("0") if found else ""
    return f"tt{digits.zfill(7)}" if digits else None


def _weighted(digits: str, weights: tuple[int, int]) -> list[int]:
    return [int(digit) * weights[place % 2] for place, digit in enumerate(digits)]


def _plain(text: str | None) -> str:
    """Lower case without accents. Marks of scripts in which they are no accents stay."""
    bare = re.sub(r"[\u0300-\u036f]", "", unicodedata.normalize("NFD", unicodedata.normalize("NFKC", text or "")))
    return unicodedata.normalize("NFC", bare).lower().strip()


def _letters(text: str) -> str:
    """Letters, marks and digits, in words with single spaces between them."""
    kept = (
        character if unicodedata.category(character)[0] in "LMN" else " " for character in text.replace("&", " and ")
    )
    return " ".join("".join(kept).split())


def _year_of(title: str | None) -> int | None:
    found = YEAR_AT_END.search(title or "")
    return int(found.group(1)) if found else None
