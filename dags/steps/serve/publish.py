"""Make the lists of the night visible in the lake, all at once."""

import hashlib
import io
import logging
from datetime import date

import pyarrow.parquet as pq

from dags.steps.night import Night
from dags.steps.records import ServingModel
from dags.steps.serve.frozen import lists_to_publish
from infra.publications import Publication, current_publication, make_current, publication_id, write_aside

log = logging.getLogger(__name__)


def publish(night: Night) -> None:
    """Make the lists of the night the current publication. The same lists again change nothing.

    The lists of a night older than the current publication are kept and not made current: a backfill must not replace newer lists.

    Raises:
        PublishError: the lake holds other bytes than were written, or another night published meanwhile; or lists that a
            platform keeps are damaged.
    """
    content = lists_to_publish(night)
    lists = pq.read_table(io.BytesIO(content))
    current, etag = current_publication(night.lake)
    serving = night.read(ServingModel)
    publication = Publication(
        publication_id=publication_id(night.as_of, content),
        as_of=night.as_of.isoformat(),
        rows=lists.num_rows,
        sha256=hashlib.sha256(content).hexdigest(),
        model_version=str(serving.version) if serving.version is not None else None,
        run_id=night.run_id,
        previous=current.publication_id if current else None,
    )
    if current and current.publication_id == publication.publication_id:
        log.info(f"publication {publication.publication_id} is current already")
        return
    write_aside(night.lake, publication, content)
    if current and date.fromisoformat(current.as_of) > night.as_of:
        log.warning(
            f"{publication.publication_id} is kept and not served, because a newer night ({current.as_of}) is served; "
            f"`crossrec rollback --to {publication.publication_id} --apply` serves it"
        )
        return
    make_current(night.lake, publication, etag)
    log.info(f"published {lists.num_rows:,} recommendations as {publication.publication_id}")
