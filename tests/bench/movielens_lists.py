"""Lists on MovieLens-1M: of all films that a user has not rated, which does the user rate next?

Each user's ratings are split by time: the first 64% are known, the next 16% teach the ranker and choose the peers, and the
last 20% test. Every rating is an interaction. At the test the history is the first 80%. All films outside it are ranked.
NDCG@10 has binary gains.

Every method that proposes is an item-to-item matrix and a half-life in which histories fade: `after_10_2` is how often a
film follows within 10 ratings, from histories whose weight halves every 2 ratings (0.1: the newest rating alone; inf: the
whole history). The films that any of them proposes are the ranker's candidates. The methods' scores are its features.
MovieLens showed its new users page after page of films, so the order of films is the best evidence.

The ranker learns from the 16%, with features of the first 64%. At the test its features are of the first 80%. Its features
and parameters were chosen one window earlier (48% known, the next 16% teach, the 16% after them judge). Each peer's were
chosen by the 16% that teach the ranker. Nothing was chosen by the last 20%.

A split by each user's own time is not a split in time. What is known of the films comes from all users' first part, and some
of that happened after another user's test. This makes all methods look better, alike. `make bench-ranking` has none of it. No
feature here reads the clock across users.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import scipy.sparse as sp
from rich.progress import track
from scipy.stats import bootstrap

from infra.demo.sources import MovieLens
from ml.evaluation.metrics import Lists, by_list, ranked
from ml.ranking.network.features import Feature, FeatureSpec
from ml.ranking.network.scoring import score
from ml.ranking.training import TrainingParams, train
from ml.retrieval.item_similarity import ease
from tests.bench.measured import Measured

SHARES = (0.64, 0.80, 1.0)  # known when taught, known when judged, the end
EARLIER = (0.48, 0.64, 0.80)  # where parameters were chosen
SEEDS = (1, 2, 3)
PARAMS = TrainingParams(loss="listwise", epochs=3, batch_size=8192)
RANKER = "Wide & Deep"
BAR = 0.29
REPLICATES = 2_000
# what is shown beside ours: a title, and with what the names of its variants begin
PEERS = {
    "popularity": "popularity",
    "EASE": "ease_inf",
    "EASE, fading histories": "ease_",
    "item neighbours, fading histories": "neighbours_",
    "what follows, fading histories": "after_",
}

DISTANCES = (1, 3, 10, 30)  # ratings: b follows a within so many
FADED = 10  # half-lives, after which a rating is forgotten
NEWEST = 1 / FADED  # leaves the newest rating alone
HALF_LIVES = (2.0, 5.0, 20.0)  # ratings, in which a history's weight falls to half
UNEXPECTED_FROM = 10  # distances where counts suffice to ask what follows more than it is popular
SHRINKAGE = 5.0
EASE_L2 = 300.0
PROPOSED = 50  # by each method
SITTING = 20  # newest ratings that give the user's pace
KEYS = ("as_of", "person_id", "platform", "item_id", "label")
PLATFORM = "movielens"
BY = "by_"  # how the columns with a method's score begin
BLOCK = 1_000  # users scored at a time

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Cut:
    """What is known of each user up to a share of their ratings, and which films they rated between it and a later one.

    Known ratings are by user in time order: user, film, stars, at (unix seconds), place (0 is the user's first), age
    (0 is the user's newest). `wanted` is (users, films), 1 where a film is to be found.
    """

    known: pd.DataFrame
    wanted: sp.csr_array

    @property
    def shape(self) -> tuple[int, int]:
        return self.wanted.shape

    def history(self, half_life: float) -> sp.csr_array:
        """(users, films): weight of each known rating, halved every so many ratings and forgotten at last."""
        recent = self.known[self.known["age"] < FADED * half_life]
        weight = (0.5 ** (recent["age"] / half_life)).to_numpy(np.float32)
        return sp.csr_array((weight, (recent["user"], recent["film"])), shape=self.shape)


def cut(data: MovieLens, known_share: float, until_share: float) -> Cut:
    """Cuts each user's ratings at floor(share x their number)."""
    ratings, shape = data.ratings, (len(data.users), len(data.films))
    count = ratings.groupby("user")["film"].transform("size")
    place = ratings.groupby("user").cumcount()
    begin, end = (np.floor(share * count).astype(int) for share in (known_share, until_share))
    known = ratings.assign(place=place, age=begin - 1 - place)[place < begin]
    later = ratings[(place >= begin) & (place < end)]
    wanted = sp.csr_array((np.ones(len(later), np.int8), (later["user"], later["film"])), shape=shape)
    return Cut(known.rename(columns={"rating": "stars"}).reset_index(drop=True), wanted)


# --- methods that propose


@dataclass(frozen=True)
class Method:
    """Scores a film by its similarity to the films of a fading history. `similarity` is (films of the history, films)."""

    name: str
    half_life: float
    similarity: Floats | sp.csr_array

    def __str__(self) -> str:
        return f"{BY}{self.name}_{self.half_life:g}"

    def scores(self, history: sp.csr_array) -> Floats:
        found = history @ self.similarity
        return np.asarray(found.todense() if sp.issparse(found) else found, np.float32)


def followed(known: pd.DataFrame, films: int) -> Iterator[tuple[int, Floats]]:
    """For each of DISTANCES, how often film b (column) was rated at most so many ratings after film a (row)."""
    user, film = known["user"].to_numpy(), known["film"].to_numpy().astype(np.int64)
    counts = np.zeros(films * films, np.float32)
    for distance in range(1, max(DISTANCES) + 1):
        same = user[distance:] == user[:-distance]
        pairs = film[:-distance][same] * films + film[distance:][same]
        counts += np.bincount(pairs, minlength=len(counts)).astype(np.float32)
        if distance in DISTANCES:
            yield distance, counts.reshape(films, films).copy()


def neighbours(own: Cut) -> Floats:
    """Cosine between films' columns of users, 0 on the diagonal."""
    rated = own.history(np.inf)
    together: Floats = (rated.T @ rated).toarray()
    norm = np.sqrt(np.maximum(np.diag(together), 1))
    np.fill_diagonal(together, 0)
    return together / norm[:, None] / norm


def ease_weights(own: Cut) -> sp.csr_array:
    """What `ml.retrieval.item_similarity.ease` keeps, on histories that do not fade."""
    known = own.known
    interactions = pa.table(
        {
            "person_id": pa.array(known["user"]).cast(pa.string()),
            "product_id": pa.array(known["film"]).cast(pa.string()),
            "age_days": known["age"].to_numpy(np.float64),
        }
    )
    found = ease(interactions, l2=EASE_L2, half_life_days=np.inf)
    film, similar = (found[name].cast(pa.int64()).to_numpy() for name in ("product_id", "neighbour_id"))
    films = own.shape[1]
    return sp.csr_array((found["weight"].to_numpy().astype(np.float32), (film, similar)), shape=(films, films))


def methods(own: Cut) -> list[Method]:
    """Every method, from what is known at the cut."""
    films = own.shape[1]
    raters = np.bincount(own.known["film"], minlength=films).astype(np.float32)
    found = [Method("popularity", NEWEST, np.tile(raters, (films, 1)))]  # whatever the newest was
    for distance, counts in followed(own.known, films):
        after = counts / (raters[:, None] + SHRINKAGE)
        found += [Method(f"after_{distance}", half_life, after) for half_life in (NEWEST, *HALF_LIVES)]
        if distance >= UNEXPECTED_FROM:
            unexpected, before = after / np.sqrt(raters + SHRINKAGE), counts.T / (raters[:, None] + SHRINKAGE)
            found += [Method(f"unexpected_after_{distance}", half_life, unexpected) for half_life in HALF_LIVES[1:]]
            found += [Method(f"before_{distance}", HALF_LIVES[1], before)]
    alike, weights = neighbours(own), ease_weights(own)
    found += [Method("neighbours", half_life, alike) for half_life in (*HALF_LIVES, 100.0)]
    found += [Method("ease", half_life, weights) for half_life in (*HALF_LIVES, np.inf)]
    return found


def scored_blocks(own: Cut, using: Sequence[Method]) -> Iterator[tuple[Ints, Floats]]:
    """Block by block, the users and their scores (methods, users, films); -inf where a film is known already."""
    histories = {half_life: own.history(half_life) for half_life in {method.half_life for method in using}}
    known = own.history(np.inf)
    for start in track(range(0, own.shape[0], BLOCK), "scoring by every method"):
        users = np.arange(start, min(start + BLOCK, own.shape[0]))
        scores = np.stack([method.scores(histories[method.half_life][users]) for method in using])
        scores[:, known[users].toarray() > 0] = -np.inf
        yield users, scores


# --- candidates and their features


def candidates(data: MovieLens, own: Cut) -> pa.Table:
    """What any method has among its best PROPOSED of a user: labels, each method's score, and context."""
    using, blocks = methods(own), []
    for users, scores in scored_blocks(own, using):
        proposed = np.zeros(scores.shape[1:], bool)
        for one in scores:
            np.put_along_axis(proposed, np.argpartition(-one, PROPOSED, axis=1)[:, :PROPOSED], True, axis=1)
        user, film = np.nonzero(proposed & np.isfinite(scores[0]))
        found = dict(zip([str(method) for method in using], scores[:, user, film], strict=True))
        blocks.append(pd.DataFrame({"user": users[user], "film": film, **found}))
    rows = pd.concat(blocks, ignore_index=True)
    keys = {
        "as_of": np.full(len(rows), "cut"),
        "person_id": rows["user"].to_numpy().astype(str),
        "platform": np.full(len(rows), PLATFORM),
        "item_id": rows["film"].to_numpy().astype(str),
        "label": np.asarray(own.wanted[rows["user"].to_numpy(), rows["film"].to_numpy()]).ravel(),
    }
    table = pd.concat([rows.drop(columns=["user", "film"]), context(data, own, rows)], axis=1)
    return pa.Table.from_pandas(table.assign(**keys), preserve_index=False)


def context(data: MovieLens, own: Cut, rows: pd.DataFrame) -> pd.DataFrame:
    """Of each candidate: the film, the user, and how close they are in year, genre and length of history."""
    known, films = own.known, own.shape[1]
    user, film = rows["user"].to_numpy(), rows["film"].to_numpy()
    whole_length = known["place"] + known["age"] + 1
    by_film = known.assign(position=np.log1p(known["place"]), relative_position=known["place"] / whole_length)
    by_film = by_film.groupby("film")[["position", "relative_position", "stars"]].mean().reindex(range(films))
    by_user = known.groupby("user").agg(
        count=("film", "size"), stars=("stars", "mean"), since=("at", "min"), to=("at", "max")
    )
    newest = known[known["age"] < SITTING].groupby("user")["at"].min()

    year = data.films["year"].astype("float64").fillna(data.films["year"].median()).to_numpy()
    genres = data.films["genres"].str.get_dummies("|").to_numpy(np.float32)
    genres = genres / np.maximum(np.linalg.norm(genres, axis=1, keepdims=True), 1)
    recent, whole = own.history(HALF_LIVES[1]), own.history(np.inf)
    recent_year = (recent @ year) / recent.sum(axis=1)
    spread = np.sqrt(np.maximum((recent @ year**2) / recent.sum(axis=1) - recent_year**2, 0))

    def taste(history: sp.csr_array) -> Floats:
        leaning = history @ genres
        leaning /= np.maximum(np.linalg.norm(leaning, axis=1, keepdims=True), 1e-9)
        return np.einsum("rg,rg->r", leaning[user], genres[film])

    count, position = by_user["count"].to_numpy()[user], by_film["position"].to_numpy()[film]
    then = np.bincount(octave(known["place"]) * films + known["film"], minlength=(octave(count.max()) + 1) * films)
    then = then.reshape(-1, films) / np.maximum(then.reshape(-1, films).sum(axis=1, keepdims=True), 1)
    return pd.DataFrame(
        {
            "year": year[film],
            "year_gap": np.abs(year[film] - recent_year[user]),
            "year_spread": spread[user],
            "genre_recent": taste(recent),
            "genre_whole": taste(whole),
            "film_stars": by_film["stars"].to_numpy()[film],
            "film_position": position,
            "film_relative_position": by_film["relative_position"].to_numpy()[film],
            "film_share_at_position": then[octave(count), film],
            "position_gap": position - np.log1p(count),
            "user_count": count,
            "user_stars": by_user["stars"].to_numpy()[user],
            "user_span": (by_user["to"] - by_user["since"]).to_numpy()[user],
            "user_pace": (by_user["to"] - newest).to_numpy()[user],
        }
    )


def octave(place: npt.ArrayLike) -> Ints:
    """Bins of half an octave, for places in a history from 0."""
    bins: Ints = (2 * np.log2(1 + np.asarray(place))).astype(np.int64)
    return bins


# --- who ranks how well


def ndcg(own: Cut, scored: pa.Table) -> Floats:
    """NDCG@10 by user, over all films that the user rated in the window."""
    found = np.asarray(own.wanted.sum(axis=1))
    users = np.flatnonzero(found)
    relevant = {"person_id": users.astype(str), "platform": np.full(len(users), PLATFORM), "relevant": found[users]}
    lists = Lists.from_table(pa.table(relevant))
    return by_list(ranked(scored, lists), lists)["ndcg_at_10"]


def with_scores(candidates: pa.Table, scores: pa.ChunkedArray | Floats) -> pa.Table:
    return candidates.select(KEYS).append_column("score", scores if isinstance(scores, pa.ChunkedArray) else [scores])


def by_method(own: Cut, proposed: pa.Table) -> dict[str, Floats]:
    """NDCG@10 by user of each peer's variants over all films: their best PROPOSED are all among the candidates."""
    names = [name for name in proposed.column_names if name.startswith(tuple(BY + prefix for prefix in PEERS.values()))]
    return {name: ndcg(own, with_scores(proposed, proposed[name])) for name in names}


def by_ranker(learned: pa.Table, judged: pa.Table, own: Cut) -> Iterator[Floats]:
    """NDCG@10 by user of our ranker, for each seed."""
    spec = FeatureSpec(tuple(Feature(name, "numeric") for name in learned.column_names if name not in KEYS))
    for seed in track(SEEDS, "training and scoring by seed"):
        model = train(learned, None, spec, replace(PARAMS, seed=seed)).model
        yield ndcg(own, with_scores(judged, score(model, spec, judged)))


def study(data: MovieLens, shares: tuple[float, float, float] = SHARES) -> list[Measured]:
    """Ours and its peers; each peer with the half-life and distance that did best in the window that teaches ours."""
    taught, tested = cut(data, *shares[:2]), cut(data, *shares[1:])
    learned, judged = candidates(data, taught), candidates(data, tested)
    ours = np.stack(list(by_ranker(learned, judged, tested)))
    chosen, values = by_method(taught, learned), by_method(tested, judged)
    best = {
        title: max((name for name in values if name.startswith(BY + prefix)), key=lambda name: chosen[name].mean())
        for title, prefix in PEERS.items()
    }
    strongest = max(best.values(), key=lambda name: chosen[name].mean())
    people = f"of {ours.shape[1]} people"
    seeds = f"mean of {len(SEEDS)} seeds, {', '.join(f'{value:.4f}' for value in ours.mean(axis=1))}"
    rows = [
        Measured(
            f"NDCG@10 {interval(ours.mean(axis=0))}, {RANKER}", float(ours.mean()), people, BAR, seeds, at_least=True
        ),
        Measured(
            f"NDCG@10 {interval(ours.mean(axis=0) - values[strongest])}, {RANKER} minus {strongest.removeprefix(BY)}",
            float(ours.mean() - values[strongest].mean()),
            "paired",
            0.0,
            at_least=True,
        ),
    ]
    for title, name in best.items():
        rows.append(
            Measured(
                f"NDCG@10 {interval(values[name])}, {title} ({name.removeprefix(BY)})",
                float(values[name].mean()),
                people,
            )
        )
    found = float(judged["label"].to_numpy().sum() / tested.wanted.sum())
    rows.append(Measured("share of what was rated next among the candidates", found, "share"))
    rows.append(Measured("candidates", judged.num_rows / tested.shape[0], "by user"))
    return rows


def interval(values: Floats) -> str:
    """95% percentile bootstrap of the mean over users."""
    found = bootstrap((values,), np.mean, n_resamples=REPLICATES, batch=100, method="percentile", rng=0)
    return f"[{found.confidence_interval.low:.4f}, {found.confidence_interval.high:.4f}]"
