"""Which products each person's takes lead to most, on every platform that they get candidates for (ml/ranking/retrieval.py)."""

from infra.dbt_night import by_cut
from ml.ranking.retrieval import proposals


def model(dbt, session):
    pairs, items = dbt.ref("candidate_pairs"), dbt.ref("item_popularity")
    leads, takes = dbt.ref("product_leads"), dbt.ref("person_takes")
    vectors = dbt.ref("tower_vectors")

    def built(cut):
        wanted = pairs.filter(f"as_of = {cut}").project("person_id, platform")
        offers = items.filter(f"as_of = {cut} and is_available").project("platform, product_id").distinct()
        known = takes.filter(f"as_of = {cut}").project("person_id, product_id, age_days")
        known = known.join(wanted.project("person_id").distinct(), "person_id")
        # all in order, for the last digits of a sum depend on it
        return proposals(
            wanted.order("person_id, platform").to_arrow_table(),
            offers.order("platform, product_id").to_arrow_table(),
            known.order("person_id, product_id").to_arrow_table(),
            leads.filter(f"as_of = {cut}").order("generator, product_id, position").to_arrow_table(),
            vectors.filter(f"as_of = {cut}").order("kind, id").to_arrow_table(),
        )

    return by_cut(dbt, dbt.ref("snapshots"), built)
