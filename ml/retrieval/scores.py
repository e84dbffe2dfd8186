"""How well products suit persons, by similar items and by the two towers."""

from collections.abc import Callable, Mapping
from functools import partial

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import scipy.sparse as sp
from scipy.special import expit

from ml.arrays import Flags, Floats, blocks, positions_in
from ml.retrieval.largest import DIGITS

HALF_LIFE_DAYS = 14.0
# each score by similar items: whose weights it adds (item_similarity), and the half-life of an interaction's weight in days
SCORES: Mapping[str, tuple[str, float]] = {
    "ease_3d": ("ease", 3.0),
    "ease_14d": ("ease", HALF_LIFE_DAYS),
    "ease_60d": ("ease", 60.0),
    "graph_14d": ("graph", HALF_LIFE_DAYS),
}
TOWER_SCORE = "tower_score"


def scores(wanted: pa.Table, interactions: pa.Table, similar: pa.Table, vectors: pa.Table) -> pa.Table:
    """Every one of ``SCORES``, and the towers' score, of given persons and products.

    One of ``SCORES`` is the sum, over the person's interactions, of the product's weight as a similar item times
    ``0.5 ** (age / half-life)``. It is 0 for a product that is similar to nothing of theirs. The towers' score is the logistic
    function of the dot product of both vectors, and 0 where one of them is missing.

    Args:
        wanted: ``person_id``, ``product_id`` (string, each pair once).
        interactions: positive ones of these persons: ``person_id``, ``product_id`` (each pair once), ``age_days`` (float, at least 0).
        similar: ``generator``, ``product_id``, ``neighbour_id`` (string), ``weight`` (float), as in mart ``item_similarity``.
        vectors: of these persons and of products, as ``ml.retrieval.towers.towers`` gives them.

    Returns:
        ``wanted`` with a column (float64, rounded) for each of ``SCORES`` and ``TOWER_SCORE``, in the order of its rows.
    """
    persons, products = pc.unique(wanted["person_id"]).sort(), pc.unique(wanted["product_id"]).sort()
    suitability = Suitability(persons, products, interactions, similar, vectors)
    person, product = positions_in(wanted["person_id"], persons), positions_in(wanted["product_id"], products)
    rows = np.argsort(person, kind="stable")
    values = {name: np.empty(len(rows)) for name in suitability.scores}
    for block in suitability.blocks():
        own = rows[slice(*np.searchsorted(person[rows], [block.start, block.stop]))]
        for name, score in suitability.scores.items():
            values[name][own] = score(block)[person[own] - block.start, product[own]]
    return pa.table([*wanted.columns, *values.values()], [*wanted.column_names, *values])


class Suitability:
    """How well every one of ``products`` suits every one of ``persons`` (arrays of distinct ids), by block of persons.

    ``scores`` maps the name of a score to a function. The function gets a block of persons and gives the rounded scores
    (persons of the block, products). The other arguments are those of `scores`.
    """

    def __init__(
        self, persons: pa.Array, products: pa.Array, interactions: pa.Table, similar: pa.Table, vectors: pa.Table
    ) -> None:
        self.scores: dict[str, Callable[[slice], Floats]] = {}
        person, product = (
            positions_in(interactions["person_id"], persons),
            positions_in(interactions["product_id"], products),
        )
        known = np.flatnonzero(product >= 0)
        shape = len(persons), len(products)
        self._interacted = sp.csr_array((np.ones(len(known), bool), (person[known], product[known])), shape=shape)
        self._add_similar_items(persons, products, interactions, similar)
        of_persons, of_products = (
            _vectors(vectors.filter(pc.equal(vectors["kind"], kind)), ids)
            for kind, ids in (("person", persons), ("product", products))
        )
        self.scores[TOWER_SCORE] = partial(_by_towers, of_persons, of_products)

    def blocks(self) -> list[slice]:
        """Blocks of persons whose dense scores fit into memory."""
        return blocks(*self._interacted.shape)

    def interacted(self, block: slice) -> Flags:
        """Which products the persons of a block interacted with (persons, products)."""
        dense: Flags = self._interacted[block].toarray()
        return dense

    def _add_similar_items(
        self, persons: pa.Array, products: pa.Array, interactions: pa.Table, similar: pa.Table
    ) -> None:
        columns = [*similar["product_id"].chunks, *similar["neighbour_id"].chunks]
        sources = pc.unique(pa.chunked_array(columns, pa.string()))
        interactions = interactions.filter(pc.is_in(interactions["product_id"], sources))
        at = positions_in(interactions["person_id"], persons), positions_in(interactions["product_id"], sources)
        weights = {
            generator: _weights(similar.filter(pc.equal(similar["generator"], generator)), sources, products)
            for generator in dict.fromkeys(generator for generator, _ in SCORES.values())
        }
        for name, (generator, half_life_days) in SCORES.items():
            faded = 0.5 ** (interactions["age_days"].to_numpy() / half_life_days)
            histories = sp.csr_array((faded, at), shape=(len(persons), len(sources)))
            self.scores[name] = partial(_by_similar_items, histories, weights[generator])


def _weights(similar: pa.Table, sources: pa.Array, products: pa.Array) -> sp.csr_array:
    """Weights of one kind of similar items (sources, products)."""
    similar = similar.filter(pc.is_in(similar["neighbour_id"], products))
    at = positions_in(similar["product_id"], sources), positions_in(similar["neighbour_id"], products)
    return sp.csr_array((similar["weight"].to_numpy(), at), shape=(len(sources), len(products)))


def _by_similar_items(histories: sp.csr_array, weights: sp.csr_array, block: slice) -> Floats:
    summed: Floats = np.round((histories[block] @ weights).toarray(), DIGITS)
    return summed


def _by_towers(of_persons: Floats, of_products: Floats, block: slice) -> Floats:
    fits: Floats = expit(np.nan_to_num(of_persons[block] @ of_products.T, nan=-np.inf))
    return fits.round(DIGITS)


def _vectors(vectors: pa.Table, ids: pa.Array) -> Floats:
    """The vectors of ``ids`` (ids, entries); NaN where there is none."""
    entries = vectors["vector"].combine_chunks().flatten().to_numpy().astype(np.float64)
    known = entries.reshape(-1, vectors.schema.field("vector").type.list_size)
    # an id without a vector has position -1, which is the last row
    return np.vstack([known, np.full(known.shape[1], np.nan)])[positions_in(ids, vectors["id"])]
