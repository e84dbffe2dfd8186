"""Which products each person's takes lead to most, on every platform that they get candidates for (ml/retrieval/scores.py)."""

from infra.dbt_plugin import by_as_of, evidence_at
from ml.retrieval.scores import proposals


def model(dbt, session):
    pairs, items = dbt.ref("candidate_pairs"), dbt.ref("item_popularity")
    leads, takes = dbt.ref("item_similarity"), dbt.ref("positive_interactions")
    vectors = dbt.ref("tower_vectors")

    def built(cut):
        wanted = pairs.filter(f"as_of = {cut}").project("person_id, platform")
        offers = items.filter(f"as_of = {cut} and is_available").project("platform, product_id").distinct()
        return proposals(
            wanted.order("person_id, platform").to_arrow_table(),
            offers.order("platform, product_id").to_arrow_table(),
            *evidence_at(cut, wanted, takes, leads, vectors),
        )

    return by_as_of(dbt, dbt.ref("snapshots"), built)
