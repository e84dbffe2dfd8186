"""The MovieLens studies: cuts by user, candidates that are not known, and columns that never know their own label."""

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

from infra.demo.sources import MovieLens
from tests.bench import movielens_clicks, movielens_lists
from tests.bench.movielens_clicks import around, described, liked, out_of_fold
from tests.bench.movielens_lists import NEWEST, cut, followed


def movielens(ratings: pd.DataFrame) -> MovieLens:
    users, films = np.arange(ratings["user"].max() + 1), np.arange(ratings["film"].max() + 1)
    return MovieLens(
        ratings,
        pd.DataFrame(
            {"year": pd.array(1990 + films % 9, "Int64"), "genres": np.where(films % 2, "Drama", "Comedy|Drama")}
        ),
        pd.DataFrame({"age_band": users % 7, "female": users % 2 == 0}),
    )


@pytest.fixture
def data() -> MovieLens:
    """40 users with 30 ratings each, of 60 films."""
    random = np.random.default_rng(0)
    films = np.concatenate([random.permutation(60)[:30] for _ in range(40)])
    ratings = {"user": np.repeat(np.arange(40), 30), "film": films, "rating": random.integers(1, 6, 1200)}
    return movielens(pd.DataFrame(ratings | {"at": np.tile(np.arange(30) * 100, 40)}))


@pytest.fixture
def two_users() -> MovieLens:
    """User 0 rated films 0 to 9 in this order, user 1 films 9, 8, 7, 6, 5."""
    return movielens(
        pd.DataFrame(
            {
                "user": [0] * 10 + [1] * 5,
                "film": [*range(10), 9, 8, 7, 6, 5],
                "rating": 4,
                "at": [*range(10), *range(5)],
            }
        )
    )


def test_each_user_is_cut_by_their_own_time(two_users: MovieLens) -> None:
    own = cut(two_users, 0.64, 0.8)
    known = own.known.groupby("user")
    assert known["film"].agg(list).to_dict() == {0: [0, 1, 2, 3, 4, 5], 1: [9, 8, 7]}
    assert known["age"].agg(list).to_dict() == {0: [5, 4, 3, 2, 1, 0], 1: [2, 1, 0]}
    assert [np.flatnonzero(row).tolist() for row in own.wanted.toarray()] == [[6, 7], [6]]


def test_histories_fade_by_ratings(two_users: MovieLens) -> None:
    own = cut(two_users, 0.8, 1.0)
    assert own.history(1.0).toarray()[1].tolist() == [0, 0, 0, 0, 0, 0, 1.0, 0.5, 0.25, 0.125]
    assert np.flatnonzero(own.history(NEWEST).toarray()[1]).tolist() == [6]


def test_what_follows_is_counted_within_a_user(two_users: MovieLens) -> None:
    counts = dict(followed(cut(two_users, 0.8, 1.0).known, 10))
    assert counts[1][6, 7] == counts[1][7, 6] == 1  # one user each way
    assert counts[1][7].sum() == 1  # the last of user 0 is not followed by the first of user 1
    assert counts[3][9].tolist() == [0, 0, 0, 0, 0, 0, 1, 1, 1, 0]


def test_candidates_are_unknown_and_hold_the_best_of_every_method(
    data: MovieLens, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(movielens_lists, "PROPOSED", 10)
    own = cut(data, 0.64, 0.8)
    found = movielens_lists.candidates(data, own).to_pandas()
    pairs = set(zip(found["person_id"].astype(int), found["item_id"].astype(int), strict=True))
    assert len(pairs) == len(found)
    assert not pairs & set(zip(own.known["user"], own.known["film"], strict=True))
    methods = {str(method): method for method in movielens_lists.methods(own)}
    method = methods["by_after_3_5"]
    scores = method.scores(own.history(5.0))
    scores[own.history(np.inf).toarray() > 0] = -np.inf
    best = found.groupby("person_id")["by_after_3_5"].max()
    assert best[[str(user) for user in range(40)]].to_numpy() == pytest.approx(scores.max(axis=1))


def test_a_column_never_knows_its_own_label(data: MovieLens) -> None:
    """With one label turned its own description stays, and others' change."""
    rows = liked(data)

    def describe(known: pd.DataFrame, asked: pd.DataFrame) -> pd.DataFrame:
        return described(data, known, asked)

    before = out_of_fold(rows, describe)
    turned = rows.assign(label=rows["label"].where(rows.index != 7, 1 - rows["label"]))
    after = out_of_fold(turned, describe)
    assert len(before) == len(rows)
    pd.testing.assert_series_equal(before.loc[7], after.loc[7])
    same_user = rows.index[(rows["user"] == rows["user"][7]) & (rows.index != 7)]
    assert (before.loc[same_user, "user_share"] != after.loc[same_user, "user_share"]).any()


def test_the_mean_around_a_rating_is_the_users_own() -> None:
    known = pd.DataFrame({"user": [0, 0, 0, 1], "at": [100, 130, 500, 100]})
    asked = pd.DataFrame({"user": [0, 1, 0], "at": [110, 140, 300]})
    values = np.array([1.0, 2.0, 4.0, 8.0])
    found = around(known, values, asked, 30) * (np.array([2, 0, 0]) + movielens_clicks.SMOOTHING)
    assert found.tolist() == [3.0, 0.0, 0.0]


def test_films_predict_each_other_but_not_themselves() -> None:
    """Where all that is known is a film's own column, nothing is predicted of it."""
    alone = sp.csr_array(np.array([[1.0, 0], [2, 0], [0, 1]], np.float32))
    assert movielens_clicks.item_to_item(alone, alone, 1.0).tolist() == [[0, 0], [0, 0], [0, 0]]
