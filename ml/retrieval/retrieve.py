"""The products that suit each person best, among those that a platform offers."""

from collections.abc import Mapping

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ml.arrays import Floats, Ints, positions_in
from ml.retrieval.largest import largest_of_rows
from ml.retrieval.scores import TOWER_SCORE, Suitability

# the score by which each generator retrieves
RETRIEVED_BY: Mapping[str, str] = {"ease": "ease_14d", "graph": "graph_14d", "towers": TOWER_SCORE}
RETRIEVED = pa.schema(
    [("generator", pa.string()), ("pair_id", pa.int64()), ("offer_id", pa.int64()), ("score", pa.float64())]
)


def retrieved(
    pairs: pa.Table,
    offers: pa.Table,
    interactions: pa.Table,
    similar: pa.Table,
    vectors: pa.Table,
    kept: Mapping[str, int],
) -> pa.Table:
    """The best offers for each person on each platform, by every generator of ``kept``.

    A product that the person interacted with, or whose score is 0, is left out.

    Args:
        pairs: ``pair_id`` (int64), ``person_id``, ``platform`` (string, each pair once).
        offers: ``offer_id`` (int64), ``platform``, ``product_id`` (string, each pair once).
        interactions: positive ones of these persons: ``person_id``, ``product_id`` (each pair once), ``age_days`` (float, at least 0).
        similar: ``generator``, ``product_id``, ``neighbour_id`` (string), ``weight`` (float), as in mart ``item_similarity``.
        vectors: of these persons and of products, as ``ml.retrieval.towers.towers`` gives them.
        kept: how many offers each generator retrieves for a pair; its keys are some of ``RETRIEVED_BY``.

    Returns:
        ``RETRIEVED``, with the score rounded. Of equal scores at the end of a list the first products are kept.
    """
    persons, products = pc.unique(pairs["person_id"]).sort(), pc.unique(offers["product_id"]).sort()
    suitability = Suitability(persons, products, interactions, similar, vectors)
    platforms = [
        _Platform(pairs, offers, name, persons, products) for name in pc.unique(pairs["platform"]).sort().to_pylist()
    ]
    found = []
    for block in suitability.blocks():
        for generator, most in kept.items():
            scores = np.where(suitability.interacted(block), 0.0, suitability.scores[RETRIEVED_BY[generator]](block))
            found += [platform.best(generator, scores, block, most) for platform in platforms]
    return pa.concat_tables([RETRIEVED.empty_table(), *found])


class _Platform:
    """Who gets candidates on one platform, and what it offers, as positions in ``persons`` and ``products``."""

    def __init__(self, pairs: pa.Table, offers: pa.Table, name: str, persons: pa.Array, products: pa.Array) -> None:
        pairs = pairs.filter(pc.equal(pairs["platform"], name))
        offers = offers.filter(pc.equal(offers["platform"], name))
        self.person, self.pair_id = _in_order(positions_in(pairs["person_id"], persons), pairs["pair_id"])
        self.product, self.offer_id = _in_order(positions_in(offers["product_id"], products), offers["offer_id"])

    def best(self, generator: str, scores: Floats, block: slice, most: int) -> pa.Table:
        """The ``most`` best offers for each person of a block, by ``scores`` (persons of the block, products)."""
        own = slice(*np.searchsorted(self.person, [block.start, block.stop]))
        here = scores[np.ix_(self.person[own] - block.start, self.product)]
        row, column = largest_of_rows(here, most)
        columns = (self.pair_id[own][row], self.offer_id[column], here[row, column])
        return pa.table([pa.repeat(generator, len(row)), *map(pa.array, columns)], RETRIEVED)


def _in_order(positions: Ints, ids: pa.ChunkedArray) -> tuple[Ints, Ints]:
    order = np.argsort(positions)
    return positions[order], ids.to_numpy()[order]
