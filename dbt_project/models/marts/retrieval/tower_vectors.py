"""Vectors of persons and products at a snapshot, learned from all persons' positive interactions (ml/retrieval/towers.py)."""

from infra.dbt_plugin import by_as_of
from infra.settings import Settings
from ml.retrieval.towers import towers

CONTENT = "title, description, creators, categories, release_year, price"


def model(dbt, session):
    seed = Settings().seed
    interactions, pairs, items = dbt.ref("positive_interactions"), dbt.ref("candidate_pairs"), dbt.ref("product_items")
    # the first item of a product describes it
    first = ", ".join(f"min_by({column}, (platform, item_id)) as {column}" for column in CONTENT.split(", "))

    def built(as_of):
        known = interactions.filter(f"as_of = {as_of}").project("person_id, product_id, age_days")
        persons = pairs.filter(f"as_of = {as_of}").project("person_id").distinct()
        products = items.filter(f"created_at < {as_of}").aggregate(f"product_id, {first}", "product_id")
        return towers(known.to_arrow_table(), products.to_arrow_table(), persons.to_arrow_table()["person_id"], seed)

    return by_as_of(dbt, dbt.ref("snapshots"), built)
