"""Step 4: accounts become persons, items become products."""

import pyarrow as pa

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
    if oversized := _oversized(labels, settings.max_cluster_size):
        labels = cluster(records, edges, max_size=settings.max_cluster_size)
    persons = stable_ids(records, labels, _previous(night, PERSONS), "person_")
    _write(night, PERSONS, persons.rename_columns(["platform", "account_id", "person_id"]))
    night.write_table(night.key("identity/edges.parquet"), edges)

    by_person = persons.group_by("cluster_id")
    platforms = by_person.aggregate([("platform", "count_distinct")])["platform_count_distinct"].to_pylist()
    sizes = persons["cluster_id"].value_counts().field("counts").to_pylist()
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
            "groups_over_size_cap": oversized,
            "tokens_shared_by_too_many": shared,
        },
    )
    night.say(f"{records.num_rows:,} accounts are {len(sizes):,} persons")
    if oversized:
        night.say(
            f"warning: {oversized:,} groups of more than {settings.max_cluster_size} linked accounts were taken apart; "
            "CROSSREC_MAX_CLUSTER_SIZE sets the limit"
        )
    if shared:
        night.say(
            f"warning: {shared:,} tokens are shared by more than {settings.max_accounts_per_token} accounts and link nobody"
        )


def _oversized(labels: pa.Array, max_size: int) -> int:
    return sum(count > max_size for count in labels.value_counts().field("counts").to_pylist())


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


def _write(night: Night, name: str, table: pa.Table) -> None:
    night.write_table(_key(night.as_of.isoformat(), name), table)


def _previous(night: Night, name: str) -> pa.Table | None:
    """The ids of the newest night before this one, as stable_ids takes them, or None."""
    earlier = [
        key
        for key in night.lake.list("identity/")
        if key.endswith(f"/{name}.parquet") and key < _key(night.as_of.isoformat(), name)
    ]
    return night.read_table(max(earlier)).rename_columns(["platform", "id", "cluster_id"]) if earlier else None
