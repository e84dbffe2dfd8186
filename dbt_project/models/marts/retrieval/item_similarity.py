"""Where each product leads to at a cut, by generator, made of what all persons had taken (ml/retrieval/scores.py)."""

from concurrent.futures import ThreadPoolExecutor

import pyarrow as pa

from infra.dbt_plugin import by_as_of
from ml.retrieval.scores import GENERATORS


def model(dbt, session):
    takes = dbt.ref("positive_interactions")

    def built(cut):
        known = takes.filter(f"as_of = {cut}").project("person_id, product_id, age_days").order("person_id, product_id")
        known = known.to_arrow_table()
        with ThreadPoolExecutor() as pool:  # most of the work is one core's
            found = pool.map(lambda leads_of: leads_of(known), GENERATORS.values())
        return pa.concat_tables(
            leads.add_column(0, "generator", pa.repeat(pa.scalar(generator), leads.num_rows))
            for generator, leads in zip(GENERATORS, found, strict=True)
        )

    return by_as_of(dbt, dbt.ref("snapshots"), built)
