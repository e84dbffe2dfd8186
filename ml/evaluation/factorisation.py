"""ALS and BPR, two factorisations of everybody's positive interactions, as simple methods to compare with."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import scipy.sparse as sp
from implicit.als import AlternatingLeastSquares
from implicit.bpr import BayesianPersonalizedRanking
from implicit.recommender_base import RecommenderBase
from threadpoolctl import threadpool_limits

from ml.arrays import Floats, Ints, blocks, positions_in

# These and the models' parameters were chosen by NDCG@10 and recall@20 on the full demo's weeks from 2000-10-05 to 11-16,
# none of which `make bench-ranking` holds out.
CONFIDENCE, HALF_LIFE_DAYS = 160.0, 10.0
RECENT_DAYS = 28.0
LENGTH = 20
LISTS = pa.schema(
    [*((name, pa.string()) for name in ("person_id", "platform", "item_id", "product_id")), ("score", pa.float64())]
)


@dataclass(frozen=True)
class Factors:
    """A score of a person and a product is the dot product of their two rows. Rows are in the order of the ids."""

    persons: pa.Array
    products: pa.Array
    of_persons: Floats
    of_products: Floats

    def scores(self, pairs: pa.Table) -> Floats:
        """The score of each ``person_id`` and ``product_id``. An unknown pair gets the smallest of the other scores, or 0."""
        person, product = (
            positions_in(pairs["person_id"], self.persons),
            positions_in(pairs["product_id"], self.products),
        )
        known = (person >= 0) & (product >= 0)
        found = _rounded(np.einsum("ij,ij->i", self.of_persons[person[known]], self.of_products[product[known]]))
        values = np.full(len(known), found.min() if len(found) else 0.0)
        values[known] = found
        return values

    def lists(self, wanted: pa.Table, items: pa.Table, consumed: pa.Table) -> pa.Table:
        """The ``LENGTH`` best products on offer for each list. A product without any positive interaction is in no list.

        Args:
            wanted: ``person_id``, ``platform``, each pair once.
            items: on offer: ``platform``, ``item_id``, ``product_id``. Of items that are one product the first may be shown.
            consumed: what a list may not show: ``person_id``, ``platform``, ``product_id``.

        Returns:
            The columns of ``LISTS``; scores are rounded. By platform and person, best first, ties going to the smaller item.
        """
        shown = [LISTS.empty_table()]
        for platform in pc.unique(wanted["platform"]).sort():
            persons, offered, hidden = (
                table.filter(pc.equal(table["platform"], platform)) for table in (wanted, items, consumed)
            )
            persons = persons.filter(pc.is_in(persons["person_id"], self.persons)).sort_by("person_id")
            offered = offered.filter(pc.is_in(offered["product_id"], self.products))
            offered = offered.group_by("product_id").aggregate([("item_id", "min")]).sort_by("item_id_min")
            row = positions_in(hidden["person_id"], persons["person_id"])
            column = positions_in(hidden["product_id"], offered["product_id"])
            here = (row >= 0) & (column >= 0)
            cells = np.ones(here.sum(), bool), (row[here], column[here])
            is_hidden = sp.csr_array(cells, shape=(len(persons), len(offered)))
            ours = self.of_persons[positions_in(persons["person_id"], self.persons)]
            theirs = self.of_products[positions_in(offered["product_id"], self.products)]
            for block in blocks(len(persons), len(offered)):
                scores = _rounded(ours[block] @ theirs.T)
                scores[is_hidden[block].nonzero()] = -np.inf
                row, column = _best(scores)
                listed, best = persons.take(row + block.start), offered.take(column)
                columns = [listed["person_id"], listed["platform"], best["item_id_min"], best["product_id"]]
                shown.append(pa.table([*columns, pa.array(scores[row, column])], schema=LISTS))
        return pa.concat_tables(shown)


def als(interactions: pa.Table, seed: int = 0) -> Factors:
    """Alternating least squares on implicit feedback (Hu, Koren & Volinsky 2008, DOI 10.1109/ICDM.2008.22).

    The confidence in an interaction is ``CONFIDENCE * 0.5 ** (age / HALF_LIFE_DAYS)``. Without this decay lists get worse.

    Args:
        interactions: ``person_id``, ``product_id`` (string, each pair once) and ``age_days`` (float, at least 0).
        seed: of the factors at the start.
    """
    confidence = CONFIDENCE * 0.5 ** (interactions["age_days"].to_numpy() / HALF_LIFE_DAYS)
    return _factorised(
        interactions.append_column("weight", pa.array(confidence)),
        lambda: AlternatingLeastSquares(
            32, regularization=400.0, iterations=8, random_state=seed, num_threads=1, use_gpu=False
        ),
    )


def bpr(interactions: pa.Table, seed: int = 0) -> Factors:
    """Bayesian personalised ranking: interactions rank before everything else (Rendle et al. 2009, arXiv 1205.2618).

    The method knows no weights. So only the interactions of the last ``RECENT_DAYS`` count, or all where there is none. A
    person without any of these gets what is popular among the others.

    Args:
        interactions: ``person_id``, ``product_id`` (string, each pair once) and ``age_days`` (float, at least 0).
        seed: of the factors at the start and of the pairs drawn.
    """
    recent = interactions["age_days"].to_numpy() < RECENT_DAYS
    return _factorised(
        interactions.append_column("weight", pa.array((recent | ~recent.any()).astype(np.float64))),
        lambda: BayesianPersonalizedRanking(
            64, learning_rate=0.01, regularization=0.003, iterations=80, random_state=seed, num_threads=1, use_gpu=False
        ),
    )


METHODS: Mapping[str, Callable[[pa.Table, int], Factors]] = {"als": als, "bpr": bpr}


def _factorised(interactions: pa.Table, model: Callable[[], RecommenderBase]) -> Factors:
    """Fit with one thread, in BLAS too, because sums depend on how several threads share the work."""
    persons, counted = (
        pc.unique(interactions["person_id"]).sort(),
        interactions.filter(pc.greater(interactions["weight"], 0)),
    )
    products = pc.unique(counted["product_id"]).sort()
    ends = positions_in(counted["person_id"], persons), positions_in(counted["product_id"], products)
    weights = counted["weight"].to_numpy().astype(np.float32)
    counts = sp.csr_matrix((weights, ends), shape=(len(persons), len(products)))
    with threadpool_limits(1, "blas"):
        fitted = model()
        fitted.fit(counts, show_progress=False)
    return Factors(persons, products, fitted.user_factors.astype(np.float64), fitted.item_factors.astype(np.float64))


def _best(scores: Floats) -> tuple[Ints, Ints]:
    """Rows and columns of the ``LENGTH`` largest finite scores of each row, largest first. Ties go to the first column."""
    best = np.argsort(-scores, axis=1, kind="stable")[:, :LENGTH]
    row, column = np.nonzero(np.isfinite(np.take_along_axis(scores, best, axis=1)))
    return row, best[row, column]


def _rounded(scores: Floats) -> Floats:
    """Scores without the last digits, which depend on how many rows are multiplied at once."""
    return np.round(scores, 12)
