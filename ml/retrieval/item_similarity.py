"""Similar items: for each product the products that persons who interacted with it also want."""

from collections.abc import Callable, Mapping

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import scipy.sparse as sp
from scipy.linalg import inv

from ml.arrays import Floats
from ml.retrieval.largest import largest_of_rows

EASE_HALF_LIFE_DAYS, EASE_KEPT, L2 = 14.0, 100, 30.0
GRAPH_HALF_LIFE_DAYS, GRAPH_KEPT, PERSON_POWER = 7.0, 200, 0.75
MOST_PRODUCTS = (
    5_000  # the matrices have this many rows and columns; of a larger catalogue the heaviest products are used
)


def ease(
    interactions: pa.Table,
    l2: float = L2,
    half_life_days: float = EASE_HALF_LIFE_DAYS,
    most_products: int = MOST_PRODUCTS,
) -> pa.Table:
    """Item-item weights of EASE (Steck 2019, arXiv 1905.03375, equation 8) on histories whose weights fade.

    An interaction has weight ``0.5 ** (age / half_life_days)``. Of each product the ``EASE_KEPT`` largest positive weights are kept.
    Small weights of whole histories would add up to noise, and lists would be worse.

    Args:
        interactions: positive ones: ``person_id``, ``product_id`` (string, each pair once), ``age_days`` (float, at least 0).
        l2: the ridge penalty on the Gram matrix's diagonal.
        half_life_days: of an interaction's weight.
        most_products: how many products are used, those with the largest sum of weights.

    Returns:
        ``product_id``, ``neighbour_id`` (string), ``weight`` (float64, rounded), ``position`` (int32, from 1); sorted by
        product and position.
    """
    histories, names = _histories(interactions, half_life_days, most_products)
    gram = (histories.T @ histories).toarray()
    gram[np.diag_indices_from(gram)] += l2
    inverse = inv(gram, overwrite_a=True, assume_a="pos") if len(names) else gram
    return _most_similar(np.divide(inverse, -np.diag(inverse), out=inverse), names, EASE_KEPT)


def graph(
    interactions: pa.Table, half_life_days: float = GRAPH_HALF_LIFE_DAYS, most_products: int = MOST_PRODUCTS
) -> pa.Table:
    """Item-item weights of a walk of two steps: from a product to the persons who interacted with it, and on to their other products.

    With ``w`` the faded weight of person ``p`` and product ``i``, a step has weight
    ``w / ((1 + sum of w of p) ** PERSON_POWER * (1 + sum of w of i) ** 0.5)``. LightGCN (He et al. 2020, arXiv 2002.02126,
    equation 3) divides by the square root of both. A larger power for persons gives less weight to each product of a person
    with many. The 1 keeps weights small where interactions are few or old. This is one layer of LightGCN without anything
    learned. The ``GRAPH_KEPT`` largest weights are kept.

    Arguments and return value are those of ``ease``.
    """
    histories, names = _histories(interactions, half_life_days, most_products)
    persons, products = (1 + histories.sum(axis=1)) ** -PERSON_POWER, (1 + histories.sum(axis=0)) ** -0.5
    steps = sp.diags_array(persons) @ histories @ sp.diags_array(products)
    return _most_similar((steps.T @ steps).toarray(), names, GRAPH_KEPT)


SIMILARITIES: Mapping[str, Callable[[pa.Table], pa.Table]] = {"ease": ease, "graph": graph}


def _histories(
    interactions: pa.Table, half_life_days: float, most_products: int
) -> tuple[sp.csr_array, npt.NDArray[np.object_]]:
    """Faded weights (persons, products), and the products' ids in order; of many products those with the largest sums."""
    weight = 0.5 ** (interactions["age_days"].to_numpy() / half_life_days)
    persons, products = (
        interactions[name].combine_chunks().dictionary_encode() for name in ("person_id", "product_id")
    )
    names = np.asarray(products.dictionary.to_pylist(), dtype=object)
    shape = len(persons.dictionary), len(names)
    histories = sp.csr_array((weight, (persons.indices.to_numpy(), products.indices.to_numpy())), shape=shape)
    chosen = np.sort(np.lexsort((names, -histories.sum(axis=0)))[:most_products])
    chosen = chosen[np.argsort(names[chosen])]
    return histories[:, chosen], names[chosen]


def _most_similar(weights: Floats, names: npt.NDArray[np.object_], kept: int) -> pa.Table:
    """The largest positive weights (products, products) of each row without the diagonal; of equal ones the first names."""
    weights = weights.round(6)
    np.fill_diagonal(weights, 0.0)
    product, neighbour = largest_of_rows(weights, kept)
    first = np.searchsorted(product, np.arange(len(names)))
    ids = pa.array(names, pa.string())
    return pa.table(
        {
            "product_id": ids.take(pa.array(product)),
            "neighbour_id": ids.take(pa.array(neighbour)),
            "weight": weights[product, neighbour],
            "position": (np.arange(len(product)) - first[product] + 1).astype(np.int32),
        }
    )
