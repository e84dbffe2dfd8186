"""How the platforms spell things: identifiers, titles and times, vectorised over columns."""

import unicodedata

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

ARTICLES = "The|A|An|Les|Le|La|L'|Il|Das|Der|Die|El|Los|Las|Un|Une"


def natural_title(names: pd.Series) -> pd.Series:
    """'Matrix, The' -> 'The Matrix', without an alternative title in brackets."""
    plain = names.str.replace(r"\s*\(.*$", "", regex=True)
    return plain.str.replace(rf"^(.*), ({ARTICLES})$", r"\2 \1", regex=True).str.replace("L' ", "L'")


def plain_title(names: pd.Series) -> pd.Series:
    """As natural_title, without accents and with '&' for 'and'."""
    unaccented = natural_title(names).map(
        lambda name: unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
    )
    return unaccented.str.replace(" and ", " & ")


def spelt(values: pd.Series, spelling: dict[str, str], separator: str) -> pd.Series:
    """'Action|Sci-Fi' with each part in the platform's spelling, parts of equal spelling once; None where empty."""

    def respell(value: str) -> str | None:
        return separator.join(dict.fromkeys(spelling.get(part, part) for part in value.split("|"))) if value else None

    return values.map({value: respell(value) for value in values.unique()})


def some_missing(values: ArrayLike, rng: np.random.Generator) -> NDArray[np.object_]:
    """The values with 5% of them left out, as in any form that people fill in."""
    filled_in = np.array(values, dtype=object)
    filled_in[rng.random(len(filled_in)) < 0.05] = None
    return filled_in


def shuffled_numbers(size: int, first: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Distinct numbers from ``first`` on with gaps, in an order that tells nothing."""
    return first + rng.permutation(size * 3)[:size]


def local_text(seconds: pd.Series | NDArray[np.int64], zone: str) -> NDArray[np.object_]:
    """Unix seconds -> 'YYYY-MM-DD HH:MM:SS' on the clocks of that time zone."""
    local = pd.DatetimeIndex(pd.to_datetime(seconds, unit="s", utc=True)).tz_convert(zone).tz_localize(None)
    return _text(local.to_numpy(), " ")


def offset_text(seconds: NDArray[np.int64], offset_minutes: NDArray[np.int64]) -> NDArray[np.object_]:
    """Unix seconds -> ISO 8601 with the given offset from UTC."""
    offsets = {
        m: f"{'-' if m < 0 else '+'}{abs(m) // 60:02}:{abs(m) % 60:02}" for m in np.unique(offset_minutes).tolist()
    }
    suffix = pd.Series(offset_minutes).map(offsets).to_numpy(object)
    return np.asarray(_text((seconds + offset_minutes * 60).astype("datetime64[s]"), "T") + suffix)


def day_text(seconds: NDArray[np.int64]) -> NDArray[np.object_]:
    """Unix seconds -> the UTC day 'YYYY-MM-DD'."""
    return np.datetime_as_string(seconds.astype("datetime64[s]"), unit="D").astype(object)


def _text(times: NDArray[np.datetime64], separator: str) -> NDArray[np.object_]:
    text = np.datetime_as_string(times, unit="s")
    return (text if separator == "T" else np.char.replace(text, "T", separator)).astype(object)
