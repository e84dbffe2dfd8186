"""Which products a history leads to."""

import numpy as np
import pyarrow as pa
import scipy.sparse as sp

L2 = 30.0
HALF_LIFE_DAYS = 14.0
KEPT = 100
MOST_PRODUCTS = 5_000  # the inverse is of a square of so many; of a larger catalogue those taken most


def ease(
    takes: pa.Table, l2: float = L2, half_life_days: float = HALF_LIFE_DAYS, most_products: int = MOST_PRODUCTS
) -> pa.Table:
    """Item-item weights of EASE (Steck 2019, arXiv 1905.03375, equation 8) on histories that fade.

    What a person took counts ``0.5 ** (age / half_life_days)``. Of each product the ``KEPT`` largest positive weights stay:
    with all of them, small weights of whole histories add up to noise, and lists are worse.

    Args:
        takes: ``person_id``, ``product_id`` (string, each pair once) and ``age_days`` (float, at least 0).
        l2: the ridge penalty on the Gram matrix's diagonal.
        half_life_days: of a take's weight.
        most_products: products with the most weight that take part.

    Returns:
        ``product_id``, ``neighbour_id`` (string), ``weight`` (float64, rounded), ``position`` (int32, from 1); sorted by
        product and position.
    """
    weight = 0.5 ** (takes["age_days"].to_numpy() / half_life_days)
    persons, products = (takes[name].combine_chunks().dictionary_encode() for name in ("person_id", "product_id"))
    names = np.asarray(products.dictionary.to_pylist(), dtype=object)
    shape = len(persons.dictionary), len(names)
    taken = sp.csr_array((weight, (persons.indices.to_numpy(), products.indices.to_numpy())), shape=shape)
    mass = taken.sum(axis=0)
    chosen = np.sort(np.lexsort((names, -mass))[:most_products])
    chosen = chosen[np.argsort(names[chosen])]
    taken, names = taken[:, chosen], names[chosen]

    gram = (taken.T @ taken).toarray()
    gram[np.diag_indices_from(gram)] += l2
    inverse = np.linalg.inv(gram)
    weights = np.round(-inverse / np.diag(inverse), 6)
    np.fill_diagonal(weights, 0.0)

    best = np.argsort(-weights, axis=1, kind="stable")[:, :KEPT]
    kept = np.take_along_axis(weights, best, axis=1)
    product, place = np.nonzero(kept > 0)
    return pa.table(
        {
            "product_id": pa.array(names[product], pa.string()),
            "neighbour_id": pa.array(names[best[product, place]], pa.string()),
            "weight": kept[product, place],
            "position": (place + 1).astype(np.int32),
        }
    )
