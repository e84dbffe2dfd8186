"""Click-through on MovieLens-1M: does a user like a film?

The split of the click-through papers: ratings of 3 are dropped, above 3 is positive, and rows are drawn at random into 80%
to train, 10% to choose by and 10% to test. Ids are allowed. The test part is scored once, by what was chosen before.

What others liked, and what else the user liked, become columns: the weights of a logistic regression on ids, and what three
collaborative models predict of its errors. Such a column must not know its own row's label. So the other four fifths of the
training rows describe a training row, and all training rows describe a row of the other parts. Only labels are used, never
the number of stars. A row's own time is context.

In a random split a row is described by what its user did later, too. That is the protocol. It is no forecast.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import scipy.sparse as sp
from rich.progress import track
from scipy.special import expit
from sklearn.linear_model import LogisticRegression

from infra.demo.sources import MovieLens
from ml.evaluation.metrics import auc, placements
from ml.ranking.network.features import Feature, FeatureSpec
from ml.ranking.network.scoring import score
from ml.ranking.training import TrainingParams, train
from tests.bench.measured import Measured

RANKER = "Wide & Deep"
BAR = 0.89
PEERS = {
    "logistic regression on ids": "by_ids",
    "share of the film's that are positive": "film_share",
    "share of the user's that are positive": "user_share",
}
SHARES = (0.8, 0.1, 0.1)
FOLDS = 5
SEEDS = (1, 2, 3)
PARAMS = TrainingParams(loss="log_loss", epochs=3)

EASE_L2, COMPANY_L2 = 1_000.0, 1_500.0
FACTORS = ((10, 3.0), (20, 6.0))  # how many, and their ridge penalty
ROUNDS = 8
AROUND = (30, 600, 7 * 86_400)  # seconds before and after a rating
SMOOTHING = 5.0

Floats = npt.NDArray[np.float32]


def liked(data: MovieLens) -> pd.DataFrame:
    """All ratings that are not 3: user, film, at, label."""
    clear = data.ratings[data.ratings["rating"] != 3]
    return clear.assign(label=(clear["rating"] > 3).astype(np.int8)).drop(columns="rating").reset_index(drop=True)


def parts(rows: pd.DataFrame) -> list[pd.DataFrame]:
    """The rows at random in parts of SHARES."""
    order, ends = np.random.default_rng(0).permutation(len(rows)), np.cumsum(SHARES)[:-1]
    return [rows.iloc[place].reset_index(drop=True) for place in np.split(order, (ends * len(rows)).astype(int))]


def out_of_fold(
    rows: pd.DataFrame, describe: Callable[[pd.DataFrame, pd.DataFrame], pd.DataFrame], folds: int = FOLDS
) -> pd.DataFrame:
    """Each row as ``describe(known, asked)`` describes it by the rows of the other folds: never by its own label."""
    fold = np.random.default_rng(1).permutation(len(rows)) % folds
    described_folds = [
        describe(rows[fold != number], rows[fold == number]).set_axis(np.flatnonzero(fold == number))
        for number in track(range(folds), "describing each fold by the others")
    ]
    return pd.concat(described_folds).sort_index()


# --- columns that known rows give to asked ones


def described(data: MovieLens, known: pd.DataFrame, asked: pd.DataFrame) -> pd.DataFrame:
    """One row for each of `asked`, whose labels are not read."""
    shape = len(data.users), len(data.films)
    user, film = (asked[name].to_numpy() for name in ("user", "film"))

    def table(values: npt.NDArray[np.floating]) -> sp.csr_array:
        return sp.csr_array((values.astype(np.float32), (known["user"], known["film"])), shape=shape)

    ids = LogisticRegression(C=0.5, max_iter=100).fit(one_hot(known, shape), known["label"])
    weight = ids.coef_.ravel()
    errors = known["label"] - expit(one_hot(known, shape) @ weight + ids.intercept_)
    error, rated = table(errors.to_numpy()), table(np.ones(len(known)))
    columns = {
        "by_ids": weight[user] + weight[shape[0] + film],
        "user_weight": weight[user],
        "film_weight": weight[shape[0] + film],
        "user_share": smoothed(known, "user", shape[0])[user],
        "film_share": smoothed(known, "film", shape[1])[film],
        "user_count": rated.sum(axis=1)[user],
        "film_count": rated.sum(axis=0)[film],
        "by_errors": item_to_item(error, error, EASE_L2)[user, film],
        "by_company": item_to_item(rated, error, COMPANY_L2)[user, film],
    }
    for count, penalty in FACTORS:
        of_users, of_films = factors(error, rated, count, penalty)
        columns[f"by_{count}_factors"] = np.einsum("rk,rk->r", of_users[user], of_films[film])
    genres = data.films["genres"].str.get_dummies("|").to_numpy(np.float32)
    leaning = (error @ genres) / (rated @ genres + 2 * SMOOTHING)
    columns["by_genre"] = np.einsum("rg,rg->r", leaning[user], genres[film]) / np.maximum(genres[film].sum(axis=1), 1)
    for seconds in AROUND:
        columns[f"within_{seconds}s"] = around(known, errors.to_numpy(), asked, seconds)
    first = known.groupby("user")["at"].min().reindex(range(shape[0])).to_numpy()
    return pd.DataFrame(
        {
            **columns,
            "at": asked["at"].to_numpy(),
            "since_first": asked["at"].to_numpy() - first[user],
            "year": data.films["year"].to_numpy(np.float32, na_value=np.nan)[film],
        }
    ).astype(np.float32)


def one_hot(rows: pd.DataFrame, shape: tuple[int, int]) -> sp.csr_array:
    place = np.arange(len(rows))
    column = np.r_[rows["user"], shape[0] + rows["film"]]
    return sp.csr_array((np.ones(len(column)), (np.r_[place, place], column)), shape=(len(rows), sum(shape)))


def smoothed(known: pd.DataFrame, key: str, size: int) -> Floats:
    """(size,) share of positives by user or film, as if SMOOTHING rows more had the overall share."""
    count, likes = np.bincount(known[key], minlength=size), np.bincount(known[key], known["label"], minlength=size)
    share: Floats = (likes + SMOOTHING * known["label"].mean()) / (count + SMOOTHING)
    return share


def item_to_item(inputs: sp.csr_array, targets: sp.csr_array, l2: float) -> Floats:
    """Ridge regression of each film's targets on the inputs of the other films: (users, films) predictions.

    EASE (Steck 2019, arXiv 1905.03375, equation 8) where both are the same; its constraint of a zero diagonal, solved in
    the same way, where they differ.
    """
    gram = (inputs.T @ inputs).toarray()
    gram[np.diag_indices_from(gram)] += l2
    inverse = np.linalg.inv(gram)
    weights = inverse @ (inputs.T @ targets).toarray()
    weights -= inverse * (np.diag(weights) / np.diag(inverse))
    predictions: Floats = inputs @ weights
    return predictions


def factors(values: sp.csr_array, known: sp.csr_array, count: int, penalty: float) -> tuple[Floats, Floats]:
    """Factors of users and films by alternating least squares on the known cells (Zhou et al. 2008)."""

    def solved(values: sp.csr_array, known: sp.csr_array, other: Floats) -> Floats:
        products = np.einsum("ij,ik->ijk", other, other).reshape(len(other), -1)
        gram = (known @ products).reshape(-1, count, count) + penalty * np.eye(count, dtype=np.float32)
        found: Floats = np.linalg.solve(gram, (values @ other)[..., None])[..., 0]
        return found

    of_films = np.random.default_rng(0).normal(0, 0.1, (values.shape[1], count)).astype(np.float32)
    for _ in range(ROUNDS):
        of_users = solved(values, known, of_films)
        of_films = solved(values.T.tocsr(), known.T.tocsr(), of_users)
    return of_users, of_films


def around(known: pd.DataFrame, values: npt.NDArray[np.floating], asked: pd.DataFrame, seconds: int) -> Floats:
    """Mean value of the user's known rows at most so far from each asked one in time, drawn to 0 where they are few."""
    apart = np.int64(known["at"].max() + asked["at"].max())  # between two users' times
    times = known["user"].to_numpy() * 2 * apart + known["at"].to_numpy()
    order = np.argsort(times, kind="stable")
    sums, times = np.r_[0, np.cumsum(values[order])], times[order]
    own = asked["user"].to_numpy() * 2 * apart + asked["at"].to_numpy()
    begin, end = np.searchsorted(times, own - seconds, "left"), np.searchsorted(times, own + seconds, "right")
    return (sums[end] - sums[begin]) / (end - begin + SMOOTHING)


# --- who predicts best


NOT_DESCRIBED = ("user", "film", "label", "age_band", "female", "genres")
IDS = (
    Feature("user", "categorical"),
    Feature("film", "categorical"),
    Feature("genres", "categorical"),
    Feature("age_band", "categorical"),
    Feature("female", "categorical"),
    Feature("user_genres", "cross", 200_000, ("user", "genres")),
    Feature("film_age_gender", "cross", 50_000, ("film", "age_band", "female")),
)


def examples(data: MovieLens, rows: pd.DataFrame, columns: pd.DataFrame) -> pa.Table:
    """Ids, what is declared of user and film, the columns of `described` and the label."""
    declared = pd.concat(
        [
            data.users[["age_band", "female"]].iloc[rows["user"]].reset_index(drop=True),
            data.films[["genres"]].iloc[rows["film"]].reset_index(drop=True),
        ],
        axis=1,
    )
    known = rows[["user", "film", "label"]].reset_index(drop=True)
    return pa.Table.from_pandas(pd.concat([known, declared, columns], axis=1), preserve_index=False)


def by_ranker(spec: FeatureSpec, learned: pa.Table, judged: pa.Table) -> Iterator[Floats]:
    """Scores of the judged rows by our ranker, for each seed."""
    for seed in track(SEEDS, "training and scoring by seed"):
        yield score(train(learned, None, spec, replace(PARAMS, seed=seed)).model, spec, judged)


def study(data: MovieLens, choosing: bool = False) -> list[Measured]:
    """Ours and its peers on the test part, or on the part to choose by."""
    known, to_choose, to_test = parts(liked(data))
    asked = to_choose if choosing else to_test

    def describe(known: pd.DataFrame, asked: pd.DataFrame) -> pd.DataFrame:
        return described(data, known, asked)

    learned = examples(data, known, out_of_fold(known, describe))
    judged = examples(data, asked, describe(known, asked))
    columns = tuple(Feature(name, "numeric") for name in judged.column_names if name not in NOT_DESCRIBED)
    label = asked["label"].to_numpy()
    scores = {
        RANKER: np.stack(list(by_ranker(FeatureSpec((*IDS, *columns)), learned, judged))),
        f"{RANKER}, ids alone": np.stack(list(by_ranker(FeatureSpec(IDS), learned, judged))),
    }
    people = f"of {len(label):,} rows"
    rows = []
    for name, by_seed in scores.items():
        found = [auc(label, one) for one in by_seed]
        seeds = f"mean of {len(SEEDS)} seeds, {', '.join(f'{value:.4f}' for value in found)}"
        bar = BAR if name == RANKER else None
        rows.append(
            Measured(f"AUC {interval(label, by_seed)}, {name}", float(np.mean(found)), people, bar, seeds, True)
        )
    for name, column in PEERS.items():
        values = judged[column].to_numpy()
        rows.append(Measured(f"AUC {interval(label, values[None])}, {name}", auc(label, values), people))
    return rows


def interval(label: npt.NDArray[np.integer], scores: Floats) -> str:
    """95% interval of the mean AUC of score rows (seeds, rows), by DeLong et al. 1988: placements of either class."""
    placed = np.mean([placements(label, one) for one in scores], axis=0)
    variance = sum(placed[label == one].var(ddof=1) / np.sum(label == one) for one in (0, 1))
    mean, half = placed[label == 1].mean(), 1.96 * np.sqrt(variance)
    return f"[{mean - half:.4f}, {mean + half:.4f}]"
