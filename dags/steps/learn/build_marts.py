"""Step 5: dbt builds the marts, after linkage: those that the towers learn from, and after training those that need the towers."""

import hashlib
import logging
from datetime import date

from dags.steps.dbt import build
from dags.steps.learn.examples import feature_spec
from dags.steps.merge.kinds import KINDS, PERSON, PRODUCT, Kind
from dags.steps.merge.with_events import with_events
from dags.steps.night import Night, parsed
from dags.steps.records import BuildPlan, MartsBuiltWith
from infra.generators import generator_names
from infra.identity_store import identity_key
from infra.platforms.manifest import MANIFEST
from infra.warehouse import DBT_PROJECT, query
from ml.identity.ids import moves

log = logging.getLogger(__name__)

BUILT_WITH = "identity/marts_built_with.json"
TOWERS = "tower_vectors"


def build_marts(night: Night) -> None:
    """Build the marts that do not need the towers, with their tests, and leave word whether all snapshots are built again.

    They are where a feature is new, where merges or splits gave a record another history, where other platforms than before
    declare repeat consumption, where there are other generators, or where another number of an account's events counts on a day.
    """
    plan = BuildPlan(full_refresh=bool(_new_features(night)) or _changed_past(night))
    night.write(plan)
    # a test of two marts waits for both of them
    build(night, "tag:marts", "--indirect-selection", "cautious", *options_of(plan), exclude=f"{TOWERS}+")


def build_candidates(night: Night) -> None:
    """Build the marts that need the towers: candidates and what is made of them."""
    build(night, f"{TOWERS}+", *options_of(night.read(BuildPlan)), exclude=TOWERS)
    # only now, so that the next build repeats a build that was killed halfway
    night.lake.put(BUILT_WITH, _built_with(night).model_dump_json(indent=1).encode())


def options_of(plan: BuildPlan) -> list[str]:
    """Options of dbt."""
    return ["--full-refresh"] if plan.full_refresh else []


def _changed_past(night: Night) -> bool:
    """Whether earlier snapshots would come out in another way now than when the marts were last built to their end.

    Earlier snapshots hold what people did. A merge or a split changes that for the past too.
    """
    try:
        content, _ = night.lake.read(BUILT_WITH)
    except FileNotFoundError:
        return True
    built, tonight = parsed(MartsBuiltWith, content, night.lake.uri(BUILT_WITH)), _built_with(night)
    if tonight.repeat_consumption != built.repeat_consumption:
        log.info("other platforms than before declare repeat consumption; all snapshots are built again")
        return True
    if tonight.generators != built.generators:
        log.info("there are other generators than before; all snapshots are built again")
        return True
    if built.loads and built.as_of <= tonight.as_of and built.loads != _loads_sha256(night, built.as_of):
        log.info("a load of an earlier night was accepted, or is held now; all snapshots are built again")
        return True
    hashes = {PERSON.name: built.persons, PRODUCT.name: built.products}
    if tonight.max_events_per_day != built.max_events_per_day:
        log.info("another number of an account's events counts on a day than before; all snapshots are built again")
        return True
    lost = any(ids_sha256(night, built.as_of, kind) != hashes[kind.name] for kind in KINDS.values())
    if lost and tonight.as_of != built.as_of:
        return True
    now = {PERSON.name: tonight.persons, PRODUCT.name: tonight.products}
    moved = [kind for kind in KINDS.values() if now[kind.name] != hashes[kind.name]]
    if lost or any(_reaches_back(night, kind, built.as_of) for kind in moved):
        log.info("merges or splits changed the history of some; all snapshots are built again")
        return True
    return False


def _built_with(night: Night) -> MartsBuiltWith:
    return MartsBuiltWith(
        as_of=night.as_of,
        repeat_consumption=tuple(name for name, platform in night.platforms.items() if platform.repeat_consumption),
        generators=tuple(sorted(generator_names(DBT_PROJECT))),
        max_events_per_day=night.settings.max_events_per_day,
        loads=_loads_sha256(night, night.as_of),
        persons=ids_sha256(night, night.as_of, PERSON),
        products=ids_sha256(night, night.as_of, PRODUCT),
    )


def _loads_sha256(night: Night, until: date) -> str:
    """SHA-256 of the names of all loads up to a night."""
    folders = {key.rpartition("/")[0] for key in night.lake.list("raw/") if key.endswith(MANIFEST)}
    loads = sorted(folder for folder in folders if folder.rpartition("load_date=")[2] <= until.isoformat())
    return hashlib.sha256("\n".join(loads).encode()).hexdigest()


def ids_sha256(night: Night, as_of: date, kind: Kind) -> str:
    """SHA-256 of the table of ids of a night; empty where there is no such table."""
    try:
        return hashlib.sha256(night.lake.read(identity_key(as_of, kind.ids))[0]).hexdigest()
    except FileNotFoundError:
        return ""


def _reaches_back(night: Night, kind: Kind, built: date) -> bool:
    """Whether a record with events is in another company than on the night of ``built``."""
    store = kind.store(night.lake)
    moved = moves(store.ids(night.as_of), store.ids(built))
    return bool(moved.num_rows) and bool(with_events(night, kind, moved).num_rows)


def _new_features(night: Night) -> list[str]:
    """Declared feature columns that the candidates of earlier nights were built without."""
    if not night.settings.warehouse_path.exists():
        return []
    present = query(
        night.settings,
        "select column_name from information_schema.columns"
        " where table_schema = 'marts' and table_name in ('candidates', 'person_sequences')",
    )["column_name"].to_pylist()
    new = sorted(set(feature_spec().columns) - set(present)) if present else []
    if new:
        log.info(f"new features: {', '.join(new)}; all snapshots are built again")
    return new
