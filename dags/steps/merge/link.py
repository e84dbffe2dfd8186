"""Step 4: accounts become persons, items become products."""

import logging
from collections.abc import Iterable
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from dags.steps.merge.decisions import decisions
from dags.steps.merge.linkage_model import (
    TrainedLinkage,
    interests,
    product_vectors,
    serving_model,
    trained_model,
    untrained_model,
)
from dags.steps.night import Night
from infra.platforms.vault import VaultError, vault_records
from infra.settings import Settings
from infra.warehouse import query
from ml.identity.clusters import cluster
from ml.identity.ids import changes, moves, redirects, retire, stable_ids
from ml.identity.interests import VECTORS, alike_pairs
from ml.identity.linkage import PAIR_KEYS, LinkageSpec, bits, score
from ml.identity.overrides import Record
from ml.identity.people import PEOPLE, TOKENS, VAULT, overshared_tokens, person_records
from ml.identity.products import PRODUCTS, item_records

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Kind:
    """What is linked: accounts to persons, or items to products."""

    name: str  # of a cluster: person, product
    record: str  # account, item
    step: str  # the task that links them, and the name of what it records
    spec: LinkageSpec

    @property
    def ids(self) -> str:
        """Name of the night's table of ids in the lake."""
        return f"{self.record}_{self.name}s"

    def threshold(self, settings: Settings) -> float:
        """Probability from which two records count as the same."""
        return settings.person_threshold if self is PERSON else settings.product_threshold


PERSON = Kind("person", "account", "link_people", PEOPLE)
PRODUCT = Kind("product", "item", "link_products", PRODUCTS)
KINDS = {kind.name: kind for kind in (PERSON, PRODUCT)}


def link_people(night: Night) -> None:
    """Accounts that tokens, names, birth date, address and interests make one person's."""
    settings = night.settings
    model = serving_model(night, PEOPLE)
    people, vault_is_open = vault(night, model)
    if model is None and vault_is_open:
        model = train_people(night)
    records = account_records(night, people, model.vectors if model else VECTORS.empty_table())
    model = model or untrained_model(PEOPLE, records)
    if shared := overshared_tokens(_accounts(night), settings.max_accounts_per_token):
        log.warning(
            f"{shared:,} tokens are shared by more than {settings.max_accounts_per_token} accounts and link nobody"
        )
    alike = None
    if settings.behaviour_threshold is not None and vault_is_open:
        alike = alike_pairs(records, VAULT, settings.behaviour_threshold)
        log.info(f"{alike.num_rows:,} pairs of accounts are linked by what they like, where nothing else compares them")
    found = _link(night, PERSON, records, model, settings.max_cluster_size, vault_is_open, alike)
    night.record(PERSON.step, {**found, "tokens_shared_by_too_many": shared})
    night.record("interests_alone", model.interests_alone)
    log.info(f"{found['records']:,} accounts are {found['clusters']:,} persons")


def link_products(night: Night) -> None:
    """Items that codes, title, year and maker make one product."""
    records = product_records(night)
    model = serving_model(night, PRODUCTS) or train_products(night)
    found = _link(night, PRODUCT, records, model, night.settings.max_product_items, True)
    night.record(PRODUCT.step, found)
    log.info(f"{found['records']:,} items are {found['clusters']:,} products")


def newest_linked() -> Night:
    """The newest night of this installation: its records are in the warehouse, and training learns from them."""
    settings = Settings()
    return Night(Night.newest(settings), settings=settings)


def train_people(night: Night, promote: bool = False) -> TrainedLinkage:
    """Learn how much each agreement of two accounts tells, and what products say of interests.

    Raises:
        VaultError: Nothing can be learned about names without them.
    """
    people = vault_records(night.lake, night.platforms.values(), night.as_of)
    vectors = product_vectors(night)
    return trained_model(night, PEOPLE, account_records(night, people, vectors), vectors, promote=promote)


def train_products(night: Night, promote: bool = False) -> TrainedLinkage:
    """Learn how much each agreement of two items tells."""
    return trained_model(night, PRODUCTS, product_records(night), VECTORS.empty_table(), promote=promote)


def vault(night: Night, model: TrainedLinkage | None) -> tuple[pa.Table, bool]:
    """What accounts said of themselves, and whether that could be read; without it only tokens link, and it says so.

    Names that are there, while how frequent they are cannot be read, are as good as none.
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


def account_records(night: Night, people: pa.Table, vectors: pa.Table) -> pa.Table:
    """Every active account as it is compared."""
    alone = {platform.name for platform in night.platforms.values() if platform.one_account_per_person}
    return person_records(
        _accounts(night), people, interests(night, vectors), alone, night.settings.max_accounts_per_token
    )


def _accounts(night: Night) -> pa.Table:
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


def _link(
    night: Night,
    kind: Kind,
    records: pa.Table,
    model: TrainedLinkage,
    max_size: int,
    vault_is_open: bool,
    alike: pa.Table | None = None,
) -> dict[str, object]:
    """Score what is new or changed, cluster everything, and write the night's identity; returns what to record.

    Pairs that are ``alike`` count as links where they have not been compared.
    """
    before, threshold = Before.of(night, kind), kind.threshold(night.settings)
    compared_pairs, compared = _pairs(night, kind, records, model, before, vault_is_open)
    pairs = _with_alike(compared_pairs, alike, threshold) if alike is not None else compared_pairs
    in_force = decisions(night, kind.name)
    always, never = (
        [(*override.left, *override.right) for override in in_force if override.decision == decision]
        for decision in ("same", "different")
    )
    labels = cluster(records, pairs, threshold, max_size, always, never)
    current = stable_ids(records, labels, before.ids, before.retired, f"{kind.name}_")
    retired = retire(current, before.ids, before.retired)
    moved = moves(current, before.ids)
    # what an earlier run of this night was let through with is about to be replaced
    night.lake.delete(accepted_key(night.as_of.isoformat(), kind))
    decided = {override.pair: str(override) for override in in_force}
    _write(night, f"{kind.record}_pairs", compared_pairs)
    _write(night, f"{kind.name}_retired", retired)
    _write(night, f"{kind.name}_redirects", _named(kind, redirects(current, retired)))
    _write(night, f"{kind.name}_changes", _named(kind, changes(moved, current, pairs, kind.spec.compared, decided)))
    _write(night, f"{kind.name}_moves", moved)
    _write(night, kind.ids, _named(kind, current))
    if vault_is_open:
        night.write_table(
            _fingerprints_key(night.as_of.isoformat(), kind), records.select(["platform", "id", "fingerprint"])
        )

    known_before, changed_id = _common(current, before.ids)
    sizes = current["cluster_id"].value_counts().field("counts")
    platforms = current.group_by("cluster_id").aggregate([("platform", "count_distinct")])["platform_count_distinct"]
    linked = pairs.filter(pc.greater_equal(pairs["score"], threshold))
    return {
        "records": records.num_rows,
        "clusters": len(sizes),
        "on_several_platforms": pc.sum(pc.greater(platforms, 1)).as_py() or 0,
        "largest": pc.max(sizes).as_py() or 0,
        "at_size_cap": pc.sum(pc.greater_equal(sizes, max_size)).as_py() or 0,
        "links": linked.num_rows,
        "expected_precision": pc.mean(linked["score"]).as_py(),
        "pairs_compared_tonight": compared,
        "model_version": model.version,
        "vault_is_open": vault_is_open,
        "decisions": len(in_force),
        "known_before": known_before,
        "changed_id": changed_id,
    }


def _with_alike(pairs: pa.Table, alike: pa.Table, threshold: float) -> pa.Table:
    """The pairs, and those that only interests speak of as links by next to nothing: every other link and any doubt weigh more."""
    only = alike.join(pairs.select(list(PAIR_KEYS)), list(PAIR_KEYS), join_type="left anti")
    weight = bits(threshold) + 1e-6
    rows = pa.array([weight] * only.num_rows, pa.float64())
    added = only.drop_columns(["cosine"]).append_column("match_weight", rows).append_column("interests", rows)
    added = added.append_column("score", pa.array([1 / (1 + 2**-weight)] * only.num_rows, pa.float64()))
    every = pa.concat_tables([pairs, added], promote_options="default")
    zeros = [pc.fill_null(every[name], 0.0) if name not in PAIR_KEYS else every[name] for name in pairs.column_names]
    return pa.table(zeros, names=pairs.column_names)


def _common(current: pa.Table, before: pa.Table | None) -> tuple[int, int]:
    """How many records are of both nights, and how many of those have another id now."""
    if before is None:
        return 0, 0
    both = current.join(before.rename_columns(["platform", "id", "before"]), ["platform", "id"], join_type="inner")
    return both.num_rows, pc.sum(pc.not_equal(both["cluster_id"], both["before"])).as_py() or 0


def _pairs(
    night: Night, kind: Kind, records: pa.Table, model: TrainedLinkage, before: "Before", vault_is_open: bool
) -> tuple[pa.Table, int]:
    """The scored pairs of all records, and how many of them were compared tonight.

    A pair keeps its score of the night before where the model is the same and neither record has changed.
    """
    threads, memory = night.settings.threads, night.settings.duckdb_memory_limit
    if before.pairs is None or before.model_version != model.version:
        fresh = score(records, kind.spec, model.model, None, threads, memory)
        return fresh, fresh.num_rows
    known = before.fingerprints if vault_is_open else before.ids
    keys = ["platform", "id", "fingerprint"] if vault_is_open else ["platform", "id"]
    same = records.select(["platform", "id", "fingerprint"]).append_column("n", pa.array(range(records.num_rows)))
    same = same.join(known.select(keys), keys, join_type="left semi") if known is not None else same.slice(0, 0)
    changed = pc.invert(pc.is_in(pa.array(range(records.num_rows)), value_set=same["n"].combine_chunks()))
    fresh = score(records, kind.spec, model.model, changed, threads, memory)
    kept = before.pairs
    for side in ("l", "r"):
        kept = kept.join(same, [f"platform_{side}", f"id_{side}"], ["platform", "id"], join_type="left semi")
    every = pa.concat_tables([kept.select(fresh.column_names), fresh])
    return every.sort_by([(key, "ascending") for key in PAIR_KEYS]), fresh.num_rows


@dataclass(frozen=True)
class Before:
    """The identity of the newest night before that passed its gate, as far as there is one."""

    ids: pa.Table | None = None
    retired: pa.Table | None = None
    pairs: pa.Table | None = None
    fingerprints: pa.Table | None = None
    model_version: str = ""

    @classmethod
    def of(cls, night: Night, kind: Kind) -> "Before":
        nights = [
            key.split("/")[1].removeprefix("as_of=")
            for key in night.lake.list("identity/")
            if key.endswith(f"/{kind.name}_accepted.json")
        ]
        earlier = [as_of for as_of in nights if as_of < night.as_of.isoformat()]
        if not earlier:
            return cls()
        newest = max(earlier)
        accepted = night.read_json(accepted_key(newest, kind))
        return cls(
            ids=night.read_table(identity_key(newest, kind.ids)).rename_columns(["platform", "id", "cluster_id"]),
            retired=night.read_table(identity_key(newest, f"{kind.name}_retired")),
            pairs=night.read_table(identity_key(newest, f"{kind.record}_pairs")),
            # a night with a closed vault compared without names, whatever an earlier run of it had
            fingerprints=_readable(night, _fingerprints_key(newest, kind)) if accepted["vault_is_open"] else None,
            model_version=accepted["model_version"],
        )


def _readable(night: Night, key: str) -> pa.Table | None:
    try:
        return night.read_table(key)
    except (OSError, pa.ArrowException):  # the vault is closed tonight
        return None


class UnknownRecordError(ValueError):
    """There is no such account or item; the message says which nights were asked."""


def require_known(night: Night, kind: Kind, records: Iterable[Record]) -> None:
    """See that some night had each of ``records``, be it gone since then.

    Raises:
        UnknownRecordError: Names those that no night has ever had.
    """
    nights = [key for key in night.lake.list("identity/") if key.endswith(f"/{kind.ids}.parquet")]
    column, unknown, platforms = f"{kind.record}_id", {*records}, None
    for key in sorted(nights, reverse=True):  # nearly always the newest has all
        ids = night.read_table(key)
        platforms = platforms or sorted(ids["platform"].unique().to_pylist())
        near = ids.filter(pc.field(column).isin([name for _, name in unknown]))
        unknown -= {*zip(near["platform"].to_pylist(), near[column].to_pylist(), strict=True)}
        if not unknown:
            return
    named = " and ".join(f"{kind.record} '{':'.join(record)}'" for record in sorted(unknown))
    if platforms is None:
        raise UnknownRecordError(
            f"{named} cannot be known yet. Received: no night that linked {kind.record}s in {night.lake.uri('identity/')}. "
            "Remedy: run `crossrec nightly` first."
        )
    newest = max(nights).split("/")[1].removeprefix("as_of=")
    raise UnknownRecordError(
        f"no night has ever seen {named}. Received: --kind {kind.name}; the newest of {len(nights)} nights, {newest}, has "
        f"platforms {', '.join(platforms)}. Remedy: write platform:id as the platform spells it, and --kind product for an "
        f"item; where the {kind.record} is new, run `crossrec nightly` first."
    )


def identity_key(as_of: str, name: str) -> str:
    return f"identity/as_of={as_of}/{name}.parquet"


def accepted_key(as_of: str, kind: Kind) -> str:
    """What the gate leaves when it lets a night pass."""
    return f"identity/as_of={as_of}/{kind.name}_accepted.json"


def _fingerprints_key(as_of: str, kind: Kind) -> str:
    zone = "vault/linkage" if kind is PERSON else "identity"
    return f"{zone}/as_of={as_of}/{kind.record}_fingerprints.parquet"


def _write(night: Night, name: str, table: pa.Table) -> None:
    night.write_table(identity_key(night.as_of.isoformat(), name), table)


def _named(kind: Kind, table: pa.Table) -> pa.Table:
    """The table with the words of its kind: cluster_id as person_id, id as account_id."""
    words = {"cluster_id": f"{kind.name}_id", "other_id": f"other_{kind.name}_id", "id": f"{kind.record}_id"}
    words |= {"retired_id": f"retired_{kind.name}_id", "records": f"{kind.record}s"}
    return table.rename_columns([words.get(name, name) for name in table.column_names])
