"""Which products a history leads to."""

from collections.abc import Callable, Mapping
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import scipy.sparse as sp

from ml.evaluation.metrics import Floats, places

HALF_LIFE_DAYS = 14.0
L2 = 30.0
EASE_KEPT, GRAPH_KEPT = 100, 200
MOST_PRODUCTS = 5_000  # the matrices are squares of so many; of a larger catalogue those taken most
# the scores of a candidate: by which generator's weights, and how fast histories fade (half-life in days)
SCORES: Mapping[str, tuple[str, float]] = {
    "ease_3d": ("ease", 3.0),
    "ease_14d": ("ease", 14.0),
    "ease_60d": ("ease", 60.0),
    "graph_14d": ("graph", 14.0),
}
PERSONS_AT_ONCE = 512


def ease(
    takes: pa.Table, l2: float = L2, half_life_days: float = HALF_LIFE_DAYS, most_products: int = MOST_PRODUCTS
) -> pa.Table:
    """Item-item weights of EASE (Steck 2019, arXiv 1905.03375, equation 8) on histories that fade.

    What a person took counts ``0.5 ** (age / half_life_days)``. Of each product the ``EASE_KEPT`` largest positive weights
    stay: with all of them, small weights of whole histories add up to noise, and lists are worse.

    Args:
        takes: ``person_id``, ``product_id`` (string, each pair once) and ``age_days`` (float, at least 0).
        l2: the ridge penalty on the Gram matrix's diagonal.
        half_life_days: of a take's weight.
        most_products: products with the most weight that take part.

    Returns:
        ``product_id``, ``neighbour_id`` (string), ``weight`` (float64, rounded), ``position`` (int32, from 1); sorted by
        product and position.
    """
    taken, names = _histories(takes, half_life_days, most_products)
    gram = (taken.T @ taken).toarray()
    gram[np.diag_indices_from(gram)] += l2
    inverse = np.linalg.inv(gram)
    return _strongest(-inverse / np.diag(inverse), names, EASE_KEPT)


def graph(takes: pa.Table, half_life_days: float = HALF_LIFE_DAYS, most_products: int = MOST_PRODUCTS) -> pa.Table:
    """Item-item weights of a walk over the graph of persons and products: to somebody who took the product, and on to what
    else they took (P3 of Cooper et al. 2014, DOI 10.1145/2567948.2579244).

    Both steps go along takes by their fading weights. It is one layer of what LightGCN propagates (He et al. 2020, arXiv
    2002.02126, equation 7), normalised by the start of each step instead of by both its ends, and nothing of it is learned.
    Weights are probabilities, of which the ``GRAPH_KEPT`` largest stay. Unlike EASE's they do not discount what is popular.

    Args and return value are those of ``ease``.
    """
    taken, names = _histories(takes, half_life_days, most_products)
    by_person = sp.diags_array(1 / np.maximum(taken.sum(axis=1), np.finfo(float).tiny)) @ taken
    by_product = sp.diags_array(1 / np.maximum(taken.sum(axis=0), np.finfo(float).tiny)) @ taken.T
    return _strongest((by_product @ by_person).toarray(), names, GRAPH_KEPT)


GENERATORS: Mapping[str, Callable[[pa.Table], pa.Table]] = {"ease": ease, "graph": graph}


def scores(wanted: pa.Table, takes: pa.Table, leads: pa.Table) -> pa.Table:
    """What the takes of each person say for given products, by every one of ``SCORES``.

    A score is the sum of the weights with which the person's takes lead to the product, each times
    ``0.5 ** (age / half-life)``; of ``graph`` it is their mean, the probability that a walk from one of the takes ends there. A
    product to which nothing leads has 0.

    Args:
        wanted: ``person_id``, ``product_id`` (string, each pair once).
        takes: of these persons: ``person_id``, ``product_id`` (each pair once), ``age_days`` (float, at least 0).
        leads: ``generator``, ``product_id``, ``neighbour_id`` (string), ``weight`` (float).

    Returns:
        ``wanted`` with a column (float64, rounded) for each of ``SCORES``, in the order of its rows.
    """
    persons = pc.unique(wanted["person_id"])
    products = pc.unique(pa.chunked_array([*leads["product_id"].chunks, *leads["neighbour_id"].chunks], pa.string()))
    person, product = places(wanted["person_id"], persons), places(wanted["product_id"], products)
    known = takes.filter(pc.is_in(takes["product_id"], products))
    taken_by, taken = places(known["person_id"], persons), places(known["product_id"], products)
    rows = np.argsort(person, kind="stable")
    bounds = np.searchsorted(person[rows], np.arange(0, len(persons) + PERSONS_AT_ONCE, PERSONS_AT_ONCE))
    weights = {}
    for generator in GENERATORS:
        own = leads.filter(pc.equal(leads["generator"], generator))
        ends = places(own["product_id"], products), places(own["neighbour_id"], products)
        weights[generator] = sp.csr_array((own["weight"].to_numpy(), ends), shape=(len(products), len(products)))
    scored = wanted
    for name, (generator, half_life_days) in SCORES.items():
        weight = 0.5 ** (known["age_days"].to_numpy() / half_life_days)
        if generator == "graph":
            total = np.bincount(taken_by, weight, minlength=len(persons))
            weight = np.divide(weight, total[taken_by], where=total[taken_by] > 0, out=np.zeros_like(weight))
        histories = sp.csr_array((weight, (taken_by, taken)), shape=(len(persons), len(products)))
        values = np.zeros(len(person))
        for first, (start, end) in zip(range(0, len(persons), PERSONS_AT_ONCE), pairwise(bounds), strict=True):
            dense = (histories[first : first + PERSONS_AT_ONCE] @ weights[generator]).toarray()
            own_rows = rows[start:end]
            reached = own_rows[product[own_rows] >= 0]
            values[reached] = dense[person[reached] - first, product[reached]]
        scored = scored.append_column(name, pa.array(np.round(values, 12)))
    return scored


def _histories(
    takes: pa.Table, half_life_days: float, most_products: int
) -> tuple[sp.csr_array, npt.NDArray[np.object_]]:
    """Fading takes (persons, products), and the products' names in order; of many products those with the most weight."""
    weight = 0.5 ** (takes["age_days"].to_numpy() / half_life_days)
    persons, products = (takes[name].combine_chunks().dictionary_encode() for name in ("person_id", "product_id"))
    names = np.asarray(products.dictionary.to_pylist(), dtype=object)
    shape = len(persons.dictionary), len(names)
    taken = sp.csr_array((weight, (persons.indices.to_numpy(), products.indices.to_numpy())), shape=shape)
    chosen = np.sort(np.lexsort((names, -taken.sum(axis=0)))[:most_products])
    chosen = chosen[np.argsort(names[chosen])]
    return taken[:, chosen], names[chosen]


def _strongest(weights: Floats, names: npt.NDArray[np.object_], kept: int) -> pa.Table:
    """The largest positive weights (products, products) of each row, but for the diagonal; of equal ones the first names."""
    weights = np.round(weights, 6)
    np.fill_diagonal(weights, 0.0)
    # no two keys of a row are equal, so that cutting before sorting, which is five times as fast, cuts the same everywhere
    keys = np.arange(len(names)) - np.rint(weights * 1e6).astype(np.int64) * len(names)
    best = np.argpartition(keys, kept, axis=1)[:, :kept] if kept < len(names) else np.argsort(keys, axis=1)
    best = np.take_along_axis(best, np.argsort(np.take_along_axis(keys, best, axis=1), axis=1), axis=1)
    strongest = np.take_along_axis(weights, best, axis=1)
    product, place = np.nonzero(strongest > 0)
    return pa.table(
        {
            "product_id": pa.array(names[product], pa.string()),
            "neighbour_id": pa.array(names[best[product, place]], pa.string()),
            "weight": strongest[product, place],
            "position": (place + 1).astype(np.int32),
        }
    )
