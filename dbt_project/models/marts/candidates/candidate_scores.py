"""How well each person's candidates suit them, whichever generator proposed them (ml/retrieval/scores.py)."""

from infra.dbt_plugin import by_as_of, evidence_at
from ml.retrieval.scores import scores


def model(dbt, session):
    sources, similar = dbt.ref("candidate_sources"), dbt.ref("item_similarity")
    interactions, vectors = dbt.ref("positive_interactions"), dbt.ref("tower_vectors")

    def built(as_of):
        wanted = sources.filter(f"as_of = {as_of}").project("person_id, product_id").distinct()
        return scores(
            wanted.order("person_id, product_id").to_arrow_table(),
            *evidence_at(as_of, wanted, interactions, similar, vectors),
        )

    return by_as_of(dbt, dbt.ref("snapshots"), built)
