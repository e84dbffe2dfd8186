"""Step 4: accounts become persons, items become products."""

from dags.steps.night import Night
from infra.warehouse import query
from ml.identity.clusters import cluster, stable_ids
from ml.identity.edges import overshared_values, person_edges, product_edges

PERSONS = "account_persons"
PRODUCTS = "item_products"


def link_people(night: Night) -> None:
    """Accounts that share a token are one person; ids go on from the night before."""
    settings = night.settings
    records = query(
        settings,
        "select platform, account_id as id, email_token, phone_token"
        " from intermediate.int_identity__account_records order by all",
    )
    edges = person_edges(records, settings.max_accounts_per_token)
    labels = cluster(records, edges)
    persons = stable_ids(records, labels, _previous(night, PERSONS), "person_")
    _write(night, PERSONS, persons.rename_columns(["platform", "account_id", "person_id"]))
    night.write_table(night.key("identity/edges.parquet"), edges)

    by_person = persons.group_by("cluster_id")
    platforms = by_person.aggregate([("platform", "count_distinct")])["platform_count_distinct"].to_pylist()
    sizes = persons["cluster_id"].value_counts().field("counts").to_pylist()
    oversized = sum(size > settings.max_cluster_size for size in sizes)
    shared = sum(
        overshared_values(records, token, settings.max_accounts_per_token) for token in ("email_token", "phone_token")
    )
    night.record(
        "link_people",
        {
            "accounts": records.num_rows,
            "persons": len(sizes),
            "edges": edges.num_rows,
            "persons_on_several_platforms": sum(count > 1 for count in platforms),
            "largest_person": max(sizes, default=0),
            "persons_over_size_cap": oversized,
            "tokens_shared_by_too_many": shared,
        },
    )
    night.say(f"{records.num_rows:,} accounts are {len(sizes):,} persons")
    if oversized:
        night.say(
            f"warning: {oversized:,} persons have more than {settings.max_cluster_size} accounts; see CROSSREC_MAX_CLUSTER_SIZE"
        )


def link_products(night: Night) -> None:
    """Items with the same title from the same year are one product; ids go on from the night before."""
    records = query(
        night.settings,
        "select platform, item_id as id, title, release_year"
        " from intermediate.int_identity__item_records order by platform, item_id",
    )
    labels = cluster(records, product_edges(records))
    products = stable_ids(records, labels, _previous(night, PRODUCTS), "product_")
    _write(night, PRODUCTS, products.rename_columns(["platform", "item_id", "product_id"]))
    count = len(products["cluster_id"].unique())
    night.record("link_products", {"items": records.num_rows, "products": count})
    night.say(f"{records.num_rows:,} items are {count:,} products")


def _key(as_of: str, name: str) -> str:
    return f"identity/as_of={as_of}/{name}.parquet"


def _write(night: Night, name: str, table) -> None:  # type: ignore[no-untyped-def]
    night.write_table(_key(night.as_of.isoformat(), name), table)


def _previous(night: Night, name: str):  # type: ignore[no-untyped-def]
    """The ids of the newest night before this one, as stable_ids takes them, or None."""
    earlier = [
        key
        for key in night.lake.list("identity/")
        if key.endswith(f"/{name}.parquet") and key < _key(night.as_of.isoformat(), name)
    ]
    return night.read_table(max(earlier)).rename_columns(["platform", "id", "cluster_id"]) if earlier else None
