"""The offers that suit each person best, on every platform that they get candidates for (ml/retrieval/retrieve.py)."""

from infra.dbt_plugin import by_as_of, evidence_at
from ml.retrieval.retrieve import RETRIEVED_BY, retrieved


def model(dbt, session):
    pairs, offers, generators = dbt.ref("candidate_pairs"), dbt.ref("offers"), dbt.ref("generators")
    similar, interactions = dbt.ref("item_similarity"), dbt.ref("positive_interactions")
    vectors = dbt.ref("tower_vectors")
    most = dict(generators.project("generator, max_candidates").fetchall())
    kept = {generator: most[generator] for generator in RETRIEVED_BY if generator in most}

    def built(as_of):
        wanted = pairs.filter(f"as_of = {as_of}").project("pair_id, person_id, platform")
        offered = offers.filter(f"as_of = {as_of}").project("offer_id, platform, product_id")
        return retrieved(
            wanted.to_arrow_table(),
            offered.to_arrow_table(),
            *evidence_at(as_of, wanted, interactions, similar, vectors),
            kept,
        )

    return by_as_of(dbt, dbt.ref("snapshots"), built)
