"""What each person's takes say for every one of their candidates, whoever proposed it (ml/ranking/retrieval.py)."""

from infra.dbt_night import by_cut
from ml.ranking.retrieval import scores


def model(dbt, session):
    sources, leads, takes = dbt.ref("candidate_sources"), dbt.ref("product_leads"), dbt.ref("person_takes")
    vectors = dbt.ref("tower_vectors")

    def built(cut):
        wanted = sources.filter(f"as_of = {cut}").project("person_id, product_id").distinct()
        known = takes.filter(f"as_of = {cut}").project("person_id, product_id, age_days")
        known = known.join(wanted.project("person_id").distinct(), "person_id")
        # all in order, for the last digits of a sum depend on it
        return scores(
            wanted.order("person_id, product_id").to_arrow_table(),
            known.order("person_id, product_id").to_arrow_table(),
            leads.filter(f"as_of = {cut}").order("generator, product_id, position").to_arrow_table(),
            vectors.filter(f"as_of = {cut}").order("kind, id").to_arrow_table(),
        )

    return by_cut(dbt, dbt.ref("snapshots"), built)
