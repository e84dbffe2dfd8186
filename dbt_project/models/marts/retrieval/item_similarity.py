"""Similar items of each product at a snapshot, by every method of ml/retrieval/item_similarity.py."""

from concurrent.futures import ThreadPoolExecutor

import pyarrow as pa

from infra.dbt_plugin import by_as_of
from ml.retrieval.item_similarity import SIMILARITIES


def model(dbt, session):
    interactions = dbt.ref("positive_interactions")

    def built(as_of):
        known = interactions.filter(f"as_of = {as_of}").project("person_id, product_id, age_days")
        known = known.order("person_id, product_id").to_arrow_table()
        with ThreadPoolExecutor() as pool:  # each method works on one core most of the time
            found = pool.map(lambda similarity: similarity(known), SIMILARITIES.values())
        return pa.concat_tables(
            similar.add_column(0, "generator", pa.repeat(pa.scalar(generator), similar.num_rows))
            for generator, similar in zip(SIMILARITIES, found, strict=True)
        )

    return by_as_of(dbt, dbt.ref("snapshots"), built)
