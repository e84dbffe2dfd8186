"""What is compared: every account and every item of the night, as linking, training and explaining read them."""

import logging

import pyarrow as pa

from dags.steps.merge.linkage_model import TrainedLinkage
from dags.steps.night import Night
from infra.platforms.vault import VaultError, vault_records
from infra.warehouse import query
from ml.identity.interests import account_interests, learn_vectors
from ml.identity.people import TOKENS, person_records
from ml.identity.products import item_records

log = logging.getLogger(__name__)


def account_records(night: Night, people: pa.Table, vectors: pa.Table) -> pa.Table:
    """Every active account as it is compared. ``people`` is as from `read_vault`, ``vectors`` as from `product_vectors`."""
    alone = {platform.name for platform in night.platforms.values() if platform.one_account_per_person}
    likes = account_interests(_events(night, "platform, account_id as id, product_id"), vectors)
    return person_records(accounts(night), people, likes, alone, night.settings.max_accounts_per_token)


def accounts(night: Night) -> pa.Table:
    """Platform, id and tokens of every active account."""
    return query(
        night.settings,
        f"select platform, account_id as id, {', '.join(TOKENS)}"
        " from intermediate.int_identity__account_records order by all",
    )


def product_records(night: Night) -> pa.Table:
    """Every item as it is compared."""
    items = query(
        night.settings,
        "select * rename (item_id as id) from intermediate.int_identity__item_records order by platform, id",
    )
    alone = {platform.name for platform in night.platforms.values() if platform.one_item_per_product}
    return item_records(items, alone, night.settings.max_items_per_code)


def read_vault(night: Night, model: TrainedLinkage | None) -> tuple[pa.Table, bool]:
    """What accounts said of themselves, and whether the vault could be read.

    Where it could not, the table is empty, only tokens link, and a warning says so. The same happens where names can be
    read and their frequencies cannot: such names tell nothing.
    """
    try:
        if model is not None and not model.knows_frequencies:
            raise VaultError(
                "how frequent names are cannot be read. Remedy: see who may read vault/linkage/ in the lake, or "
                "`crossrec identity train --promote`."
            )
        return vault_records(night.lake, night.platforms.values(), night.as_of), True
    except VaultError as error:
        log.warning(f"{error} Tonight links accounts that are new by what is certain only: their tokens.")
        return vault_records(night.lake, (), night.as_of), False


def product_vectors(night: Night) -> pa.Table:
    """Product vectors of interests, learned from every event up to the night."""
    return learn_vectors(_events(night, "platform || ':' || account_id as account, product_id"), night.settings.seed)


def _events(night: Night, columns: str) -> pa.Table:
    products = night.lake.uri(f"identity/as_of={night.as_of}/item_products.parquet")
    return query(
        night.settings,
        f"select distinct {columns} from intermediate.int_events inner join read_parquet($products) using (platform, item_id)"
        " where account_id is not null",
        {"products": products},
    )
