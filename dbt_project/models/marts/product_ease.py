"""Where each product leads to at a cut: EASE on what all persons had taken (ml/ranking/retrieval.py)."""

from datetime import date

import pyarrow as pa

from ml.ranking.retrieval import ease

AGE_DAYS = "datediff('hour', occurred_at, cast(as_of as timestamp)) / 24.0 as age_days"


def model(dbt, session):
    to_build = "true"
    if dbt.is_incremental:
        to_build = f"as_of = cast(getvariable('as_of') as date) or as_of not in (select as_of from {dbt.this})"
    snapshots, takes = dbt.ref("snapshots"), dbt.ref("person_takes")
    tables = []
    # of no cut at all, a table without rows
    for as_of, *_ in snapshots.filter(to_build).order("as_of").fetchall() or [(date.min,)]:
        known = takes.filter(f"as_of = date '{as_of}'").project(f"person_id, product_id, {AGE_DAYS}")
        weights = ease(known.order("person_id, product_id").to_arrow_table())
        tables.append(weights.add_column(0, "as_of", pa.repeat(pa.scalar(as_of), weights.num_rows)))
    return pa.concat_tables(tables)
