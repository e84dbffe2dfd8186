"""What each person's takes say for every one of their candidates, whoever proposed it (ml/retrieval/scores.py)."""

from infra.dbt_plugin import by_as_of, evidence_at
from ml.retrieval.scores import scores


def model(dbt, session):
    sources, leads, takes = dbt.ref("candidate_sources"), dbt.ref("item_similarity"), dbt.ref("positive_interactions")
    vectors = dbt.ref("tower_vectors")

    def built(cut):
        wanted = sources.filter(f"as_of = {cut}").project("person_id, product_id").distinct()
        return scores(
            wanted.order("person_id, product_id").to_arrow_table(),
            *evidence_at(cut, wanted, takes, leads, vectors),
        )

    return by_as_of(dbt, dbt.ref("snapshots"), built)
