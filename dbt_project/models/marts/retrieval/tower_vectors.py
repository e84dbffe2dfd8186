"""Vectors of persons and products at a cut, by two towers that learn from what all persons had taken (ml/retrieval/towers.py)."""

from infra.dbt_plugin import by_as_of
from ml.retrieval.towers import towers

CONTENT = "title, description, creators, categories, release_year, price"


def model(dbt, session):
    takes, pairs, items = dbt.ref("positive_interactions"), dbt.ref("candidate_pairs"), dbt.ref("product_items")
    # of the items that are one product the first says what it is
    first = ", ".join(f"min_by({column}, (platform, item_id)) as {column}" for column in CONTENT.split(", "))

    def built(cut):
        known = takes.filter(f"as_of = {cut}").project("person_id, product_id, age_days")
        persons = pairs.filter(f"as_of = {cut}").project("person_id").distinct()
        products = items.filter(f"created_at < {cut}").aggregate(f"product_id, {first}", "product_id")
        return towers(known.to_arrow_table(), products.to_arrow_table(), persons.to_arrow_table()["person_id"])

    return by_as_of(dbt, dbt.ref("snapshots"), built)
