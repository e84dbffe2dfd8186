"""Where each product leads to at a cut, by generator, made of what all persons had taken (ml/ranking/retrieval.py)."""

from datetime import date

import pyarrow as pa

from ml.ranking.retrieval import GENERATORS

AGE_DAYS = "datediff('hour', occurred_at, cast(as_of as timestamp)) / 24.0 as age_days"


def model(dbt, session):
    to_build = "true"
    if dbt.is_incremental:
        to_build = f"as_of = cast(getvariable('as_of') as date) or as_of not in (select as_of from {dbt.this})"
    snapshots, takes = dbt.ref("snapshots"), dbt.ref("person_takes")
    tables = []
    # of no cut at all, tables without rows
    for as_of, *_ in snapshots.filter(to_build).order("as_of").fetchall() or [(date.min,)]:
        known = takes.filter(f"as_of = date '{as_of}'").project(f"person_id, product_id, {AGE_DAYS}")
        known = known.order("person_id, product_id").to_arrow_table()
        for generator, leads_of in GENERATORS.items():
            leads = leads_of(known)
            keys = {"as_of": pa.scalar(as_of), "generator": pa.scalar(generator)}
            for position, (name, value) in enumerate(keys.items()):
                leads = leads.add_column(position, name, pa.repeat(value, leads.num_rows))
            tables.append(leads)
    return pa.concat_tables(tables)
