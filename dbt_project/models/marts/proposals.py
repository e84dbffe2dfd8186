"""Which products each person's takes lead to most, on every platform that they get candidates for (ml/ranking/retrieval.py)."""

from infra.dbt_night import by_cut, evidence_at
from ml.ranking.retrieval import proposals


def model(dbt, session):
    pairs, items = dbt.ref("candidate_pairs"), dbt.ref("item_popularity")
    leads, takes = dbt.ref("product_leads"), dbt.ref("person_takes")
    vectors = dbt.ref("tower_vectors")

    def built(cut):
        wanted = pairs.filter(f"as_of = {cut}").project("person_id, platform")
        offers = items.filter(f"as_of = {cut} and is_available").project("platform, product_id").distinct()
        return proposals(
            wanted.order("person_id, platform").to_arrow_table(),
            offers.order("platform, product_id").to_arrow_table(),
            *evidence_at(cut, wanted, takes, leads, vectors),
        )

    return by_cut(dbt, dbt.ref("snapshots"), built)
