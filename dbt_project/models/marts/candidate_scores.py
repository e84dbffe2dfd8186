"""What each person's takes say for every one of their candidates, whoever proposed it (ml/ranking/retrieval.py)."""

from datetime import date

import pyarrow as pa

from ml.ranking.retrieval import scores

AGE_DAYS = "datediff('hour', occurred_at, cast(as_of as timestamp)) / 24.0 as age_days"


def model(dbt, session):
    to_build = "true"
    if dbt.is_incremental:
        to_build = f"as_of = cast(getvariable('as_of') as date) or as_of not in (select as_of from {dbt.this})"
    snapshots, leads, takes = dbt.ref("snapshots"), dbt.ref("product_leads"), dbt.ref("person_takes")
    sources = dbt.ref("candidate_sources")
    tables = []
    # of no cut at all, a table without rows
    for as_of, *_ in snapshots.filter(to_build).order("as_of").fetchall() or [(date.min,)]:
        at_cut = f"as_of = date '{as_of}'"
        candidates = sources.filter(at_cut).project("person_id, product_id").distinct()
        known = takes.filter(at_cut).project(f"person_id, product_id, {AGE_DAYS}")
        found = scores(
            candidates.order("person_id, product_id").to_arrow_table(),
            known.join(candidates.project("person_id").distinct(), "person_id")
            .order("person_id, product_id")
            .to_arrow_table(),
            # in order, for the last digits of a sum depend on it
            leads.filter(at_cut)
            .order("generator, product_id, position")
            .project("generator, product_id, neighbour_id, weight")
            .to_arrow_table(),
        )
        tables.append(found.add_column(0, "as_of", pa.repeat(pa.scalar(as_of), found.num_rows)))
    return pa.concat_tables(tables)
