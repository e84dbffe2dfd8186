"""Make the lists of the night visible in the lake, all at once."""

import hashlib
import io
import logging

import pyarrow.parquet as pq

from dags.steps.night import Night
from dags.steps.records import ServingModel
from dags.steps.serve.frozen import lists_to_publish
from infra.publications import Publication, copy_current, make_current, publication_id, served_now, write_aside

log = logging.getLogger(__name__)


def publish(night: Night) -> None:
    """Make the lists of the night the current publication. The same lists again change nothing.

    Two kinds of lists are kept and not made current. A backfill must not replace newer lists, so the lists of a night older than
    the current publication are only kept. And lists that a person took away by a rollback do not come back by themselves.

    Raises:
        PublishError: the lake holds other bytes than were written, or another night published meanwhile; or lists that a
            platform keeps are damaged.
        StateError: the log of what is served is damaged.
    """
    content = lists_to_publish(night)
    lists = pq.read_table(io.BytesIO(content))
    now = served_now(night.lake)
    serving = night.read(ServingModel)
    publication = Publication(
        publication_id=publication_id(night.as_of, content),
        as_of=night.as_of.isoformat(),
        rows=lists.num_rows,
        sha256=hashlib.sha256(content).hexdigest(),
        model_version=str(serving.version) if serving.version is not None else None,
        run_id=night.run_id,
    )
    write_aside(night.lake, publication, content)
    name = publication.publication_id
    if now and now.publication_id == name:
        copy_current(night.lake)
        log.info(f"publication {name} is current already")
        return
    serve_it = f"`crossrec rollback --to {name} --apply` serves it"
    if now and now.as_of > night.as_of:
        log.warning(f"{name} is kept and not served, because a newer night ({now.as_of}) is served; {serve_it}")
        return
    if now and name in now.withdrawn:
        log.warning(f"{name} is kept and not served, because a rollback took these lists away; {serve_it}")
        return
    make_current(night.lake, publication, now, who=f"run {night.run_id}", why=f"the night of {night.as_of}")
    log.info(f"published {lists.num_rows:,} recommendations as {name}")
