"""Which products a history leads to."""

from collections.abc import Callable, Mapping
from functools import partial

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import scipy.sparse as sp
from scipy.linalg import inv
from scipy.special import expit

from ml.arrays import Floats, blocks, positions_in

HALF_LIFE_DAYS = 14.0
L2 = 30.0
GRAPH_HALF_LIFE_DAYS, PERSON_POWER = 7.0, 0.75
EASE_KEPT, GRAPH_KEPT = 100, 200
MOST_PRODUCTS = 5_000  # the matrices are squares of so many; of a larger catalogue those taken most
# the scores of a candidate by what takes lead to: by which generator's weights, and how fast histories fade (half-life in days)
SCORES: Mapping[str, tuple[str, float]] = {
    "ease_3d": ("ease", 3.0),
    "ease_14d": ("ease", HALF_LIFE_DAYS),
    "ease_60d": ("ease", 60.0),
    "graph_14d": ("graph", HALF_LIFE_DAYS),
}
TOWER_SCORE = "tower_score"
# by which score a generator proposes, and how many products to a person on a platform: as many as candidate_sources.sql takes
PROPOSALS: Mapping[str, tuple[str, int]] = {
    "ease": ("ease_14d", 40),
    "graph": ("graph_14d", 100),
    "towers": (TOWER_SCORE, 40),
}
DIGITS = 9  # of a score: sums differ in the last ones with how many rows are multiplied at once


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
    inverse = inv(gram, overwrite_a=True, assume_a="pos") if len(names) else gram
    return _strongest(np.divide(inverse, -np.diag(inverse), out=inverse), names, EASE_KEPT)


def graph(
    takes: pa.Table, half_life_days: float = GRAPH_HALF_LIFE_DAYS, most_products: int = MOST_PRODUCTS
) -> pa.Table:
    """Item-item weights of a walk over the graph of persons and products: to who took the product, and on to what else they took.

    Each take counts by its age, divided as LightGCN divides it (He et al. 2020, arXiv 2002.02126, equation 3) by powers of all
    that its person and its product have: of the product the root, and of the person ``PERSON_POWER``, for whoever takes much says less
    of each. One is added to each, so that what few and old takes tell stays small. It is one layer of LightGCN on which nothing
    is learned. The ``GRAPH_KEPT`` largest weights stay.

    Args and return value are those of ``ease``.
    """
    taken, names = _histories(takes, half_life_days, most_products)
    persons, products = (1 + taken.sum(axis=1)) ** -PERSON_POWER, (1 + taken.sum(axis=0)) ** -0.5
    shares = sp.diags_array(persons) @ taken @ sp.diags_array(products)
    return _strongest((shares.T @ shares).toarray(), names, GRAPH_KEPT)


GENERATORS: Mapping[str, Callable[[pa.Table], pa.Table]] = {"ease": ease, "graph": graph}


def proposals(wanted: pa.Table, offers: pa.Table, takes: pa.Table, leads: pa.Table, vectors: pa.Table) -> pa.Table:
    """The best products for each person on each platform, by every one of ``PROPOSALS``.

    Nothing is proposed that the person took, nor what nothing leads to.

    Args:
        wanted: ``person_id``, ``platform`` (string, each pair once).
        offers: ``platform``, ``product_id`` (string, each pair once).
        takes: of these persons: ``person_id``, ``product_id`` (each pair once), ``age_days`` (float, at least 0).
        leads: ``generator``, ``product_id``, ``neighbour_id`` (string), ``weight`` (float).
        vectors: as ``ml.retrieval.towers.towers`` gives them, of these persons and of products.

    Returns:
        ``generator``, ``person_id``, ``platform``, ``product_id`` (string), ``score`` (float64, rounded); of equal scores at the end of a
        list the first products.
    """
    persons, platforms = pc.unique(wanted["person_id"]).sort(), pc.unique(wanted["platform"]).sort()
    products = pc.unique(offers["product_id"]).sort()
    evidence = _Evidence(persons, products, takes, leads, vectors)
    person, platform = positions_in(wanted["person_id"], persons), positions_in(wanted["platform"], platforms)
    is_wanted = sp.csr_array((np.ones(len(person), bool), (person, platform)), shape=(len(persons), len(platforms)))
    on_offer = [
        np.sort(positions_in(offers["product_id"].filter(pc.equal(offers["platform"], name)), products))
        for name in platforms
    ]
    found = []
    for block in evidence.blocks():
        here = is_wanted[block].toarray()
        for generator, (name, kept) in PROPOSALS.items():
            says = np.where(evidence.had(block), 0.0, evidence.says[name](block))
            for at, own in enumerate(on_offer):
                rows = np.flatnonzero(here[:, at])
                row, column = _largest(says[np.ix_(rows, own)], kept)
                row, column = rows[row], own[column]
                keys = [pa.repeat(generator, len(row)), persons.take(pa.array(row + block.start))]
                keys += [pa.repeat(platforms[at], len(row)), products.take(pa.array(column))]
                found.append(pa.table([*keys, pa.array(says[row, column])], PROPOSED))
    return pa.concat_tables([PROPOSED.empty_table(), *found])


def scores(wanted: pa.Table, takes: pa.Table, leads: pa.Table, vectors: pa.Table) -> pa.Table:
    """How well given products suit each person, by every one of ``SCORES`` and by the towers.

    One of ``SCORES`` is the sum of the weights with which the person's takes lead to the product, each times
    ``0.5 ** (age / half-life)``; a product to which nothing leads has 0. The towers' is the logistic function of the product of both
    vectors, 0 where there is none.

    Args:
        wanted: ``person_id``, ``product_id`` (string, each pair once).
        takes: of these persons: ``person_id``, ``product_id`` (each pair once), ``age_days`` (float, at least 0).
        leads: ``generator``, ``product_id``, ``neighbour_id`` (string), ``weight`` (float).
        vectors: as ``ml.retrieval.towers.towers`` gives them, of these persons and of products.

    Returns:
        ``wanted`` with a column (float64, rounded) for each of ``SCORES`` and ``TOWER_SCORE``, in the order of its rows.
    """
    persons, products = pc.unique(wanted["person_id"]).sort(), pc.unique(wanted["product_id"]).sort()
    evidence = _Evidence(persons, products, takes, leads, vectors)
    person, product = positions_in(wanted["person_id"], persons), positions_in(wanted["product_id"], products)
    rows = np.argsort(person, kind="stable")
    values = {name: np.empty(len(rows)) for name in evidence.says}
    for block in evidence.blocks():
        own = rows[slice(*np.searchsorted(person[rows], [block.start, block.stop]))]
        for name, says in evidence.says.items():
            values[name][own] = says(block)[person[own] - block.start, product[own]]
    return pa.table([*wanted.columns, *values.values()], [*wanted.column_names, *values])


PROPOSED = pa.schema(
    [*((name, pa.string()) for name in ("generator", "person_id", "platform", "product_id")), ("score", pa.float64())]
)


class _Evidence:
    """How well ``products`` suit ``persons``, by block of persons.

    ``says`` has by score what gives it, rounded, for every product (persons of the block, products).
    """

    def __init__(
        self, persons: pa.Array, products: pa.Array, takes: pa.Table, leads: pa.Table, vectors: pa.Table
    ) -> None:
        self.says: dict[str, Callable[[slice], Floats]] = {}
        taken_by, taken = positions_in(takes["person_id"], persons), positions_in(takes["product_id"], products)
        had = np.flatnonzero(taken >= 0)
        shape = len(persons), len(products)
        self._had = sp.csr_array((np.ones(len(had), bool), (taken_by[had], taken[had])), shape=shape)

        starts = pc.unique(pa.chunked_array([*leads["product_id"].chunks, *leads["neighbour_id"].chunks], pa.string()))
        takes = takes.filter(pc.is_in(takes["product_id"], starts))
        ends = positions_in(takes["person_id"], persons), positions_in(takes["product_id"], starts)
        weights = {}
        for generator in GENERATORS:
            own = leads.filter(pc.equal(leads["generator"], generator))
            own = own.filter(pc.is_in(own["neighbour_id"], products))
            way = positions_in(own["product_id"], starts), positions_in(own["neighbour_id"], products)
            weights[generator] = sp.csr_array((own["weight"].to_numpy(), way), shape=(len(starts), len(products)))
        for name, (generator, half_life_days) in SCORES.items():
            weight = 0.5 ** (takes["age_days"].to_numpy() / half_life_days)
            histories = sp.csr_array((weight, ends), shape=(len(persons), len(starts)))
            self.says[name] = partial(self._led_to, histories, weights[generator])

        of_persons, of_products = (
            _vectors(vectors.filter(pc.equal(vectors["kind"], kind)), ids)
            for kind, ids in (("person", persons), ("product", products))
        )
        self.says[TOWER_SCORE] = partial(self._fitting, of_persons, of_products)

    def blocks(self) -> list[slice]:
        return blocks(*self._had.shape)

    def had(self, block: slice) -> npt.NDArray[np.bool_]:
        dense: npt.NDArray[np.bool_] = self._had[block].toarray()
        return dense

    @staticmethod
    def _led_to(histories: sp.csr_array, weights: sp.csr_array, block: slice) -> Floats:
        scores: Floats = np.round((histories[block] @ weights).toarray(), DIGITS)
        return scores

    @staticmethod
    def _fitting(of_persons: Floats, of_products: Floats, block: slice) -> Floats:
        scores: Floats = expit(np.nan_to_num(of_persons[block] @ of_products.T, nan=-np.inf))
        return scores.round(DIGITS)


def _vectors(vectors: pa.Table, ids: pa.Array) -> Floats:
    """Of ``ids`` (ids, entries); NaN where there is none."""
    entries = vectors["vector"].combine_chunks().flatten().to_numpy().astype(np.float64)
    known = entries.reshape(-1, vectors.schema.field("vector").type.list_size)
    # the last row is that of place -1
    return np.vstack([known, np.full(known.shape[1], np.nan)])[positions_in(ids, vectors["id"])]


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
    weights = weights.round(6)
    np.fill_diagonal(weights, 0.0)
    product, neighbour = _largest(weights, kept)
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


def _largest(values: Floats, kept: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Rows and columns of the ``kept`` largest of each row that are above 0, largest first; of equal ones the first columns.

    ``values`` are rounded to ``DIGITS``.
    """
    columns = values.shape[1]
    rows, of_rows = [np.empty(0, np.int64)], [np.empty(0, np.int64)]
    for block in blocks(*values.shape):  # the keys of a whole square would take more memory than the square
        own = values[block]
        # no two keys of a row are equal, so that cutting before sorting, which is five times as fast, cuts the same everywhere
        keys = np.arange(columns) - np.rint(own * 10**DIGITS).astype(np.int64) * columns
        best = np.argpartition(keys, kept, axis=1)[:, :kept] if kept < columns else np.argsort(keys, axis=1)
        best = np.take_along_axis(best, np.argsort(np.take_along_axis(keys, best, axis=1), axis=1), axis=1)
        row, place = np.nonzero(np.take_along_axis(own, best, axis=1) > 0)
        rows.append(block.start + row)
        of_rows.append(best[row, place])
    return np.concatenate(rows), np.concatenate(of_rows)
