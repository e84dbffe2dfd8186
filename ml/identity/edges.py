"""Evidence that two records are the same: one scored edge a pair. A new kind of evidence is one more function here.

An edge table has the columns ``platform_l, id_l, platform_r, id_r`` (string), ``score`` (float64, 0..1) and
``evidence`` (string: which field was equal).
"""

import pandas as pd
import pyarrow as pa

EDGE_SCHEMA = pa.schema(
    [
        ("platform_l", pa.string()),
        ("id_l", pa.string()),
        ("platform_r", pa.string()),
        ("id_r", pa.string()),
        ("score", pa.float64()),
        ("evidence", pa.string()),
    ]
)


def equal_value_edges(records: pa.Table, column: str, max_records: int | None = None) -> pa.Table:
    """Edges of score 1 between records with the same non-empty value in ``column``.

    Each group is a star around its first record in order of (platform, id), which connects it with the fewest edges.
    A value that more than ``max_records`` records share (a family's phone, ``info@``) links nobody.

    ``records`` has ``platform``, ``id`` and ``column``, all strings.
    """
    frame = records.select(["platform", "id", column]).to_pandas()
    frame = frame[frame[column].notna() & (frame[column] != "")].sort_values([column, "platform", "id"])
    groups = frame.groupby(column, sort=False)
    sizes = groups["id"].transform("size")
    keep = sizes > 1 if max_records is None else (sizes > 1) & (sizes <= max_records)
    first = groups[["platform", "id"]].transform("first")
    rest = keep & (groups.cumcount() > 0)
    return pa.table(
        {
            "platform_l": pa.array(first.loc[rest, "platform"], pa.string()),
            "id_l": pa.array(first.loc[rest, "id"], pa.string()),
            "platform_r": pa.array(frame.loc[rest, "platform"], pa.string()),
            "id_r": pa.array(frame.loc[rest, "id"], pa.string()),
            "score": pa.array([1.0] * int(rest.sum()), pa.float64()),
            "evidence": pa.array([column] * int(rest.sum()), pa.string()),
        },
        schema=EDGE_SCHEMA,
    )


def overshared_values(records: pa.Table, column: str, max_records: int) -> int:
    """How many values of ``column`` more than ``max_records`` records share, and so link nobody."""
    counts = records[column].drop_null().value_counts()
    return int(sum(count > max_records for count in counts.field("counts").to_pylist()))


def person_edges(records: pa.Table, max_accounts_per_token: int) -> pa.Table:
    """Edges between accounts: an equal e-mail or phone token, each a certain link.

    ``records`` has ``platform, id, email_token, phone_token``.
    """
    return pa.concat_tables(
        [equal_value_edges(records, token, max_accounts_per_token) for token in ("email_token", "phone_token")]
    )


def product_edges(records: pa.Table) -> pa.Table:
    """Edges between items: the same normalised title from the same year.

    ``records`` has ``platform, id, title`` (string) and ``release_year`` (int, nullable). Without a year or a title
    there is no edge: remakes share their title.
    """
    frame = records.to_pandas()
    title = normalised_title(frame["title"])
    known = frame["release_year"].notna() & title.ne("")
    year = frame["release_year"].astype("Int64").astype("string")
    keyed = pa.table(
        {
            "platform": records["platform"],
            "id": records["id"],
            "title_and_year": pa.array((title + "|" + year).where(known), pa.string()),
        }
    )
    return equal_value_edges(keyed, "title_and_year")


def normalised_title(titles: pd.Series) -> pd.Series:
    """Titles without what spelling adds: case, accents, punctuation, brackets at the end, and the place of the article.

    ``"Matrix, The (1999)"`` and ``"The Matrix"`` both become ``"the matrix"``, ``"Seven (Se7en) (1995)"`` becomes
    ``"seven"``; null becomes ``""``.
    """
    text = titles.astype("string").fillna("").str.normalize("NFKD").str.encode("ascii", "ignore").str.decode("ascii")
    text = text.astype("string").str.lower().str.strip()
    text = text.str.replace(r"(\s*\([^)]*\))+\s*$", "", regex=True)
    text = text.str.replace(
        r"^(.*), (the|a|an|le|la|les|l'|el|il|der|die|das|den|det|los|las|un|une)(?![a-z0-9])(.*)$",
        r"\2 \1\3",
        regex=True,
    )
    text = text.str.replace("&", " and ", regex=False)
    text = text.str.replace(r"[^a-z0-9]+", " ", regex=True)
    return text.str.strip()
