"""Steps 11 and 12: lists become visible all at once or not at all, in the lake and in every platform's warehouse.

A publication is written aside under its own id, audited, and made visible by replacing one small object,
``publications/current.json``, on the condition that nobody replaced it meanwhile. Rolling back replaces it again.
"""

import hashlib
import io
import json
import logging
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import date

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from dags.steps.night import Night
from dags.steps.records import ServingModel, WrittenBack
from infra.lake import Lake
from infra.platforms import PlatformError
from infra.platforms import write_back as write_to_platform
from infra.settings import Settings

log = logging.getLogger(__name__)

CURRENT = "publications/current.json"
PLATFORM_COLUMNS = [
    *("account_id", "rank", "item_id", "score", "strategy", "slot", "propensity", "reason"),
    *("as_of", "model_version", "publication_id", "recommendation_id"),
]


class PublishError(RuntimeError):
    """A publication could not be made visible; the message says why, and what is served instead."""


@dataclass(frozen=True)
class Publication:
    """One night's lists: what they are called, what made them, and which publication they took the place of."""

    publication_id: str
    as_of: str
    rows: int
    sha256: str
    model_version: str | None  # None: there is no model yet
    run_id: str
    previous: str | None = None

    @property
    def key(self) -> str:
        return f"publications/{self.publication_id}"


def publish(night: Night) -> None:
    """Make the night's lists the current publication; the same lists again change nothing.

    A night older than what is served is written but not made current: a backfill must not take newer lists away.

    Raises:
        PublishError: the lake holds other bytes than were written, or another night published meanwhile.
    """
    lists, _ = night.lake.read(night.key("lists.parquet"))
    digest = hashlib.sha256(lists).hexdigest()
    table = pq.read_table(io.BytesIO(lists))
    current, etag = current_publication(night.lake)
    serving = night.read(ServingModel)
    publication = Publication(
        publication_id=publication_id(night.as_of, lists),
        as_of=night.as_of.isoformat(),
        rows=table.num_rows,
        sha256=digest,
        model_version=str(serving.version) if serving.version is not None else None,
        run_id=night.run_id,
        previous=current.publication_id if current else None,
    )
    if current and current.publication_id == publication.publication_id:
        log.info(f"publication {publication.publication_id} is current already")
        return
    _write_aside(night.lake, publication, lists)
    if current and date.fromisoformat(current.as_of) > night.as_of:
        log.warning(
            f"{publication.publication_id} is kept aside, for a newer night ({current.as_of}) is served; "
            f"`crossrec rollback --to {publication.publication_id} --apply` serves it"
        )
        return
    _make_current(night.lake, publication, etag)
    log.info(f"published {table.num_rows:,} recommendations as {publication.publication_id}")


def write_back(night: Night, platform: str) -> None:
    """Give one platform its part of the current publication, in its own warehouse."""
    current, _ = current_publication(night.lake)
    if current is None:
        raise PublishError(
            "nothing is published yet. Received: no publications/current.json. Remedy: run `crossrec nightly`."
        )
    changed, lists = _write_platform(night, platform, current)
    night.write(WrittenBack(publication_id=current.publication_id, lists=lists, rows_changed=changed), platform)
    log.info(f"{platform}: {changed:,} rows changed" if changed else f"{platform}: has these lists already")


def roll_back(settings: Settings, to: str, *, apply: bool) -> Iterator[str]:
    """Serve publication ``to`` (empty: the one before the current) again everywhere; yields what is done, line by line."""
    night = Night.today(settings)
    current, etag = current_publication(night.lake)
    if current is None:
        raise PublishError("nothing is published, so nothing can be rolled back. Remedy: run `crossrec nightly`.")
    wanted = to or current.previous
    if wanted is None:
        raise PublishError(f"{current.publication_id} is the first publication; there is none before it to go back to.")
    try:
        target = Publication(**json.loads(night.lake.read(f"publications/{wanted}/publication.json")[0]))
    except FileNotFoundError:
        known = sorted(
            {key.split("/")[1] for key in night.lake.list("publications/") if key.endswith("publication.json")}
        )
        raise PublishError(
            f"there is no publication {wanted}. Received: --to {wanted}. Remedy: choose one of {', '.join(known)}."
        ) from None
    yield f"served now: {current.publication_id} ({current.rows:,} rows); to serve: {target.publication_id} ({target.rows:,} rows)"
    if not apply:
        yield "nothing is changed; `--apply` does it"
        return
    _make_current(night.lake, target, etag)
    yield f"{target.publication_id} is current in the lake"
    failures = []
    for platform in night.platforms:
        try:
            changed, _ = _write_platform(night, platform, target)
        except PlatformError as error:
            failures.append(str(error))
        else:
            yield f"{platform}: {changed:,} rows changed"
    if failures:
        raise PublishError(
            "\n".join([*failures, "The lake and the other platforms serve it already; when the cause is mended, run"])
            + f" `crossrec rollback --to {target.publication_id} --apply` again."
        )


def publication_id(as_of: date, lists: bytes) -> str:
    """What the publication of these lists is called."""
    return f"{as_of}-{hashlib.sha256(lists).hexdigest()[:12]}"


def current_publication(lake: Lake) -> tuple[Publication | None, str | None]:
    """What is served, and the etag on which a change of it depends."""
    try:
        content, etag = lake.read(CURRENT)
    except FileNotFoundError:
        return None, None
    return Publication(**json.loads(content)), etag


def published_lists(lake: Lake, publication: Publication) -> pa.Table:
    """The lists of one publication, audited against its checksum."""
    content, _ = lake.read(f"{publication.key}/lists.parquet")
    received = hashlib.sha256(content).hexdigest()
    if received != publication.sha256:
        raise PublishError(
            f"publication {publication.publication_id} is damaged in the lake. Received: sha256 {received[:12]}, "
            f"expected {publication.sha256[:12]}. Remedy: run its night again, or `crossrec rollback` to another."
        )
    return pq.read_table(io.BytesIO(content))


def _write_aside(lake: Lake, publication: Publication, lists: bytes) -> None:
    lake.put(f"{publication.key}/lists.parquet", lists)
    audited = published_lists(lake, publication)
    if audited.num_rows != publication.rows:
        raise PublishError(
            f"publication {publication.publication_id}: wrote {publication.rows:,} rows, found {audited.num_rows:,}."
        )
    lake.put(f"{publication.key}/publication.json", json.dumps(asdict(publication), indent=1).encode())


def _make_current(lake: Lake, publication: Publication, etag: str | None) -> None:
    from infra.lake import ConditionFailed

    published_lists(lake, publication)
    try:
        lake.put_if_match(CURRENT, json.dumps(asdict(publication), indent=1).encode(), etag)
    except ConditionFailed:
        raise PublishError(
            f"another run published while {publication.publication_id} was being made; that one is served. "
            "Remedy: see which night it was, and run this task again if this one shall replace it."
        ) from None


def _write_platform(night: Night, platform: str, publication: Publication) -> tuple[int, int]:
    """Rows changed in the platform's warehouse, and lists it now has."""
    declared = night.platforms[platform]
    lists = published_lists(night.lake, publication)
    own = lists.filter(pc.equal(lists["platform"], platform))
    if declared.write_back is None or not own.num_rows:
        return 0, 0
    own = own.append_column("publication_id", pa.array([publication.publication_id] * own.num_rows, pa.string()))
    known = [name for name in PLATFORM_COLUMNS if name in own.column_names]  # an old publication has fewer
    changed = write_to_platform(declared, own.select(known), night.settings)
    return changed, len(own["account_id"].unique())
