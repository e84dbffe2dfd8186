"""The lists of a platform whose data are too old to make new ones of: they stay as they were published."""

import io
import logging

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from dags.steps.night import Night
from dags.steps.records import Delivery, FrozenLists
from infra.lake import Lake
from infra.publications import Publication, current_publication, kept_publication, published_lists

log = logging.getLogger(__name__)


def freeze(night: Night, lists: pa.Table) -> pa.Table:
    """The night's lists without those of platforms that get no new ones, and a record of where theirs stand instead.

    That is the publication which is served. A night that is run again after newer ones takes the newest one up to itself.
    """
    platforms = [name for name in night.platforms if is_frozen(night, name)]
    source = _newest_publication(night) if platforms else None
    night.write(FrozenLists(platforms=tuple(platforms), publication_id=source.publication_id if source else None))
    for platform in platforms:
        log.warning(f"{platform} gets no new lists: {_whose(source)}")
    return lists.filter(pc.invert(pc.is_in(lists["platform"], pa.array(platforms, pa.string()))))


def is_frozen(night: Night, platform: str) -> bool:
    """Whether the platform's data are older tonight than it allows."""
    delivery = night.find(Delivery, platform)
    return delivery is not None and delivery.is_frozen


def lists_to_publish(night: Night) -> bytes:
    """The Parquet file that the night publishes: its own lists, and for frozen platforms those published before, unchanged.

    Raises:
        PublishError: the publication that holds them is damaged or gone.
    """
    own, _ = night.lake.read(night.key("lists.parquet"))
    frozen = night.find(FrozenLists)
    if frozen is None or not frozen.platforms or frozen.publication_id is None:
        return own
    published = published_lists(night.lake, kept_publication(night.lake, frozen.publication_id))
    kept = published.filter(pc.is_in(published["platform"], pa.array(frozen.platforms, pa.string())))
    lists = pq.read_table(io.BytesIO(own))
    # an earlier release published fewer columns, or others
    known = kept.select([name for name in lists.column_names if name in kept.column_names])
    together = pa.concat_tables([lists, known], promote_options="permissive").cast(lists.schema)
    buffer = io.BytesIO()
    order = [(name, "ascending") for name in ("platform", "account_id", "rank")]
    pq.write_table(together.sort_by(order), buffer, compression="zstd")
    return buffer.getvalue()


def _newest_publication(night: Night) -> Publication | None:
    """The publication that is served, or the newest one of the nights up to this one where a later night's is served."""
    current, _ = current_publication(night.lake)
    if current is None or current.as_of <= night.as_of.isoformat():
        return current
    return _newest_kept(night.lake, night.as_of.isoformat())


def _newest_kept(lake: Lake, as_of: str) -> Publication | None:
    keys = [key for key in lake.list("publications/") if key.endswith("/publication.json")]
    found = [kept_publication(lake, key.split("/")[1]) for key in keys]
    earlier = [publication for publication in found if publication.as_of <= as_of]
    return max(earlier, key=lambda publication: (publication.as_of, publication.publication_id), default=None)


def _whose(source: Publication | None) -> str:
    return f"it keeps those of {source.publication_id}" if source else "there are none yet"
