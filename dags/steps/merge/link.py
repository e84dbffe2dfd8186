"""Step 4: accounts become persons, items become products."""

import logging

import pyarrow as pa
import pyarrow.compute as pc

from dags.steps.merge.decisions import decisions_in_force
from dags.steps.merge.kinds import PERSON, PRODUCT, Kind
from dags.steps.merge.linkage_model import TrainedLinkage, serving_model, untrained_model
from dags.steps.merge.linked_records import account_records, accounts, product_records, read_vault
from dags.steps.merge.train_linkage import train_people, train_products
from dags.steps.night import Night
from dags.steps.records import Linked
from infra.identity_store import PreviousIdentity
from ml.identity.interests import VECTORS, alike_pairs
from ml.identity.people import VAULT, overshared_tokens
from ml.identity.resolve import Identity, cluster_counts, in_both_nights, resolve, score_changed, with_alike

log = logging.getLogger(__name__)


def link_people(night: Night) -> None:
    """Link the accounts that belong to one person by tokens, names, birth date, address and interests."""
    settings = night.settings
    model = serving_model(night, PERSON)
    people, vault_is_open = read_vault(night, model)
    if model is None and vault_is_open:
        model = train_people(night)
    records = account_records(night, people, model.vectors if model else VECTORS.empty_table())
    model = model or untrained_model(PERSON, records)
    shared = overshared_tokens(accounts(night), settings.max_accounts_per_token)
    if shared:
        log.warning(
            f"{shared:,} tokens are shared by more than {settings.max_accounts_per_token} accounts and link nobody"
        )
    alike = None
    if settings.behaviour_threshold is not None and vault_is_open:
        alike = alike_pairs(records, VAULT, settings.behaviour_threshold)
        log.info(f"{alike.num_rows:,} pairs of accounts are linked by what they like, where nothing else compares them")
    linked = _link(night, PERSON, records, model, vault_is_open, alike)
    night.write(
        linked.model_copy(update={"tokens_shared_by_too_many": shared, "interests_alone": model.interests_alone}),
        PERSON.name,
    )
    log.info(f"{linked.records:,} accounts are {linked.clusters:,} persons")


def link_products(night: Night) -> None:
    """Link the items that are one product by codes, title, year and maker."""
    records = product_records(night)
    model = serving_model(night, PRODUCT) or train_products(night)
    linked = _link(night, PRODUCT, records, model, vault_is_open=True)
    night.write(linked, PRODUCT.name)
    log.info(f"{linked.records:,} items are {linked.clusters:,} products")


def _link(
    night: Night,
    kind: Kind,
    records: pa.Table,
    model: TrainedLinkage,
    vault_is_open: bool,
    alike: pa.Table | None = None,
) -> Linked:
    """Score what is new or changed, cluster everything, and write the night's identity.

    Pairs that are ``alike`` count as links where they have not been compared.
    """
    store, threshold, max_size = kind.store(night.lake), kind.threshold(night.settings), kind.max_size(night.settings)
    previous, decisions = store.previous(night.as_of), decisions_in_force(store)
    compared, compared_tonight = _compared(night, kind, records, model, previous, vault_is_open)
    identity = resolve(
        records,
        with_alike(compared, alike, threshold) if alike is not None else compared,
        threshold=threshold,
        max_size=max_size,
        decisions=decisions,
        previous=previous.ids,
        retired=previous.retired,
        prefix=f"{kind.name}_",
        compared=kind.spec.compared,
    )
    _write(night, kind, compared, identity, records if vault_is_open else None)
    known_before, changed_id = in_both_nights(identity.current, previous.ids)
    return Linked(
        records=records.num_rows,
        links=identity.links.num_rows,
        expected_precision=pc.mean(identity.links["score"]).as_py(),
        pairs_compared_tonight=compared_tonight,
        model_version=model.version,
        vault_is_open=vault_is_open,
        decisions=len(decisions),
        known_before=known_before,
        changed_id=changed_id,
        **cluster_counts(identity.current, max_size),
    )


def _compared(
    night: Night, kind: Kind, records: pa.Table, model: TrainedLinkage, previous: PreviousIdentity, vault_is_open: bool
) -> tuple[pa.Table, int]:
    """The scored pairs of all records, and how many of them were compared tonight."""
    known = previous.fingerprints
    if not vault_is_open:  # whatever changed in a name cannot be seen
        known = previous.ids.select(["platform", "id"]) if previous.ids is not None else None
    scored = previous.pairs if previous.model_version == model.version else None
    settings = night.settings
    return score_changed(records, kind.spec, model.model, scored, known, settings.threads, settings.duckdb_memory_limit)


def _write(night: Night, kind: Kind, compared: pa.Table, identity: Identity, records: pa.Table | None) -> None:
    """Write the night's tables; ``records`` are None where nothing is known to tell whether one of them changes."""
    store, as_of = kind.store(night.lake), night.as_of
    store.withdraw(as_of)  # an earlier run of this night passed with the tables that are replaced here
    store.write(as_of, f"{kind.record}_pairs", compared)
    store.write(as_of, f"{kind.name}_retired", identity.retired)
    store.write_named(as_of, f"{kind.name}_redirects", identity.redirects)
    store.write_named(as_of, f"{kind.name}_changes", identity.changes)
    store.write(as_of, f"{kind.name}_moves", identity.moves)
    store.write_named(as_of, kind.ids, identity.current)
    if records is not None:
        store.write_fingerprints(as_of, records.select(["platform", "id", "fingerprint"]))
