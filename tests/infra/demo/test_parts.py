"""The demo's pure functions on literal examples."""

import numpy as np
import pandas as pd
import pytest

from infra.demo import sources
from infra.demo.behaviour import split_ratings
from infra.demo.people import settle
from infra.demo.wording import day_text, local_text, natural_title, offset_text, plain_title, spelt


def test_a_split_keeps_to_the_users_platforms_and_to_films_they_hold() -> None:
    ratings = pd.DataFrame({"user": [0] * 6 + [1] * 4, "film": [0, 1, 2, 3, 0, 1, 0, 1, 2, 3]})
    homes = np.array([[0, 2, -1], [1, -1, -1]])
    held = np.array([[True, True, True], [True, False, False], [False, True, True], [False, True, False]])
    platform = split_ratings(ratings, homes, held, np.random.default_rng(0))
    assert platform[[1, 2, 3, 5]].tolist() == [0, 2, -1, 0], "films that one of the user's platforms holds, or none"
    assert set(platform[[0, 4]]) <= {0, 2}
    assert platform[6:].tolist() == [1, -1, 1, 1], "user 1 has no other platform to go to"


def test_every_platform_of_a_user_sees_events() -> None:
    ratings = pd.DataFrame({"user": np.repeat(np.arange(200), 20), "film": np.zeros(4000, dtype=int)})
    homes = np.tile([2, 0, 1], (200, 1))
    platform = split_ratings(ratings, homes, np.ones((1, 3), dtype=bool), np.random.default_rng(1))
    assert (pd.Series(platform).groupby(ratings["user"]).nunique() == 3).all()


def test_users_settle_on_one_two_or_three_different_platforms() -> None:
    homes = settle(1000, np.random.default_rng(0))
    assert np.bincount((homes >= 0).sum(axis=1)).tolist() == [0, 600, 280, 120]
    assert all(len(set(row[row >= 0])) == (row >= 0).sum() for row in homes)


@pytest.mark.parametrize(
    ("name", "natural", "plain"),
    [
        ("Matrix, The", "The Matrix", "The Matrix"),
        ("Misérables, Les", "Les Misérables", "Les Miserables"),
        (
            "City of Lost Children, The (Cité des enfants perdus, La)",
            "The City of Lost Children",
            "The City of Lost Children",
        ),
        ("Lock, Stock & Two Smoking Barrels", "Lock, Stock & Two Smoking Barrels", "Lock, Stock & Two Smoking Barrels"),
        ("Romy and Michele", "Romy and Michele", "Romy & Michele"),
        ("L.A. Confidential", "L.A. Confidential", "L.A. Confidential"),
    ],
)
def test_titles(name: str, natural: str, plain: str) -> None:
    assert natural_title(pd.Series([name])).tolist() == [natural]
    assert plain_title(pd.Series([name])).tolist() == [plain]


def test_genres_of_equal_spelling_appear_once() -> None:
    spelling = {"Sci-Fi": "sci-fi & fantasy", "Fantasy": "sci-fi & fantasy"}
    values = pd.Series(["Action|Sci-Fi|Fantasy", ""])
    assert spelt(values, spelling, ";").astype(object).where(lambda s: s.notna(), None).tolist() == [
        "Action;sci-fi & fantasy",
        None,
    ]


def test_times() -> None:
    second = np.array([976838400])  # 2000-12-15 00:00:00 UTC
    assert local_text(second, "America/New_York").tolist() == ["2000-12-14 19:00:00"]
    assert offset_text(second, np.array([330])).tolist() == ["2000-12-15T05:30:00+05:30"]
    assert offset_text(second, np.array([-480])).tolist() == ["2000-12-14T16:00:00-08:00"]
    assert day_text(second - 1).tolist() == ["2000-12-14"]


def test_movielens_100k_counts_a_film_with_two_ids_once() -> None:
    source = sources.load_movielens("small")
    assert (len(source.films), len(source.users), len(source.ratings)) == (1664, 943, 99_693)
    assert source.films["film"].is_unique
    assert source.ratings["user"].is_monotonic_increasing
    assert (source.ratings.groupby("user")["at"].diff().dropna() >= 0).all()
    assert source.ratings["film"].min() == 0
    assert source.users["age_band"].between(0, 6).all()


def test_febrl_numbers_originals_and_their_duplicates() -> None:
    febrl = sources.load_febrl()
    originals = febrl[febrl["copy"] == 0]
    assert len(originals) == febrl["human"].nunique() == 11_500
    assert originals["rec_id"].str.endswith("org").all()


def test_a_missing_package_names_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sources.MOVIELENS, "small", "ml-0")
    with pytest.raises(FileNotFoundError, match="Reinstall"):
        sources.load_movielens("small")
