"""What each person's takes say for every one of their candidates, whoever proposed it (ml/ranking/retrieval.py)."""

from infra.dbt_night import by_cut, evidence_at
from ml.ranking.retrieval import scores


def model(dbt, session):
    sources, leads, takes = dbt.ref("candidate_sources"), dbt.ref("product_leads"), dbt.ref("person_takes")
    vectors = dbt.ref("tower_vectors")

    def built(cut):
        wanted = sources.filter(f"as_of = {cut}").project("person_id, product_id").distinct()
        return scores(
            wanted.order("person_id, product_id").to_arrow_table(),
            *evidence_at(cut, wanted, takes, leads, vectors),
        )

    return by_cut(dbt, dbt.ref("snapshots"), built)
