"""Publications: the lists of one night, visible all at once or not at all.

A publication is written aside under its own id and audited. It becomes visible when one small object,
``publications/current.json``, is replaced, on the condition that nobody else replaced it meanwhile. Rolling back replaces it again.
"""

import hashlib
import io
import json
from dataclasses import asdict, dataclass
from datetime import date

import pyarrow as pa
import pyarrow.parquet as pq

from infra.lake import ConditionFailed, Lake

CURRENT = "publications/current.json"


class PublishError(RuntimeError):
    """A publication could not be made visible. The message says why, and what is served instead."""


@dataclass(frozen=True)
class Publication:
    """One night's lists: their name, what made them, and the publication that was current before."""

    publication_id: str
    as_of: str
    rows: int
    sha256: str
    model_version: str | None  # None: there was no model yet
    run_id: str
    previous: str | None = None

    @property
    def key(self) -> str:
        return f"publications/{self.publication_id}"


def publication_id(as_of: date, lists: bytes) -> str:
    """The name of the publication of these lists."""
    return f"{as_of}-{hashlib.sha256(lists).hexdigest()[:12]}"


def current_publication(lake: Lake) -> tuple[Publication | None, str | None]:
    """The publication that is served, and the etag on which a change of it depends; None and None where there is none."""
    try:
        content, etag = lake.read(CURRENT)
    except FileNotFoundError:
        return None, None
    return Publication(**json.loads(content)), etag


def require_current(lake: Lake) -> tuple[Publication, str | None]:
    """Like `current_publication`.

    Raises:
        PublishError: nothing is published yet.
    """
    current, etag = current_publication(lake)
    if current is None:
        raise PublishError(
            "nothing is published yet. Received: no publications/current.json. Remedy: run `crossrec nightly`."
        )
    return current, etag


def kept_publication(lake: Lake, wanted: str) -> Publication:
    """The publication of this id, current or not.

    Raises:
        PublishError: there is no such publication; the message names those that there are.
    """
    try:
        return Publication(**json.loads(lake.read(f"publications/{wanted}/publication.json")[0]))
    except FileNotFoundError:
        keys = [key for key in lake.list("publications/") if key.endswith("publication.json")]
        known = ", ".join(sorted({key.split("/")[1] for key in keys}))
        raise PublishError(
            f"there is no publication {wanted}. Received: --to {wanted}. Remedy: choose one of {known}."
        ) from None


def published_lists(lake: Lake, publication: Publication) -> pa.Table:
    """The lists of one publication.

    Raises:
        PublishError: the lake holds other bytes than were written.
    """
    content, _ = lake.read(f"{publication.key}/lists.parquet")
    received = hashlib.sha256(content).hexdigest()
    if received != publication.sha256:
        raise PublishError(
            f"publication {publication.publication_id} is damaged in the lake. Received: sha256 {received[:12]}, "
            f"expected {publication.sha256[:12]}. Remedy: run its night again, or `crossrec rollback` to another."
        )
    return pq.read_table(io.BytesIO(content))


def write_aside(lake: Lake, publication: Publication, lists: bytes) -> None:
    """Keep the lists under the id of the publication, where nobody sees them yet.

    Raises:
        PublishError: the lake does not give back what was written.
    """
    lake.put(f"{publication.key}/lists.parquet", lists)
    audited = published_lists(lake, publication)
    if audited.num_rows != publication.rows:
        raise PublishError(
            f"publication {publication.publication_id}: wrote {publication.rows:,} rows, found {audited.num_rows:,}."
        )
    lake.put(f"{publication.key}/publication.json", json.dumps(asdict(publication), indent=1).encode())


def make_current(lake: Lake, publication: Publication, etag: str | None) -> None:
    """Let everybody see the publication, if the current one still has this ``etag``.

    Raises:
        PublishError: the publication is damaged, or another run published meanwhile.
    """
    published_lists(lake, publication)
    try:
        lake.put_if_match(CURRENT, json.dumps(asdict(publication), indent=1).encode(), etag)
    except ConditionFailed:
        raise PublishError(
            f"another run published while {publication.publication_id} was being made; that one is served. "
            "Remedy: see which night it was, and run this task again if this one shall replace it."
        ) from None
