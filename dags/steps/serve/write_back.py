"""Give each platform its lists, in its own warehouse, and count there what arrived."""

import logging
from collections.abc import Iterator

import pyarrow as pa
import pyarrow.compute as pc

from dags.steps.conservation import Line, prove
from dags.steps.night import Night
from dags.steps.records import Delivery, WrittenBack
from dags.steps.serve.check_lists import TABLE
from dags.steps.serve.frozen import is_frozen
from infra.platforms import PlatformError, rows_there
from infra.platforms import write_back as write_to_platform
from infra.publications import Publication, published_lists, require_current

log = logging.getLogger(__name__)

PLATFORM_COLUMNS = [
    *("account_id", "rank", "item_id", "score", "strategy", "slot", "propensity", "reason"),
    *("as_of", "model_version", "publication_id", "recommendation_id"),
]
REMEDY = (
    "see who else writes to the platform's table of lists, or changes what is written there (a trigger, a job that cleans up), "
    "and run write_back of this platform again; where the publication differs from the night's lists, run publish again"
)


def write_back(night: Night, platform: str, *, last_try: bool = True) -> None:
    """Give one platform its part of the current publication, unless it keeps the lists that it has.

    A platform that could not be read tonight may be out of reach still. Then it keeps its lists too, and the night says so.

    Raises:
        PublishError: nothing is published yet, or the publication is damaged.
        PlatformError: the platform's warehouse cannot be written, though it could be read tonight, or there is another try.
        GateStopped: the platform has another number of rows than its part of the publication.
    """
    current, _ = require_current(night.lake)
    if is_frozen(night, platform):
        log.warning(f"{platform} keeps the lists that it has")
        return
    try:
        changed, lists = write_publication(night, platform, current)
    except PlatformError as error:
        if (error.retryable and not last_try) or not _was_out_of_reach(night, platform):
            raise
        log.warning(
            f"{error} {platform} keeps the lists that it has; when it is back, run "
            f"`crossrec rollback --to {current.publication_id} --apply`"
        )
        return
    night.write(WrittenBack(publication_id=current.publication_id, lists=lists, rows_changed=changed), platform)
    log.info(f"{platform}: {changed:,} rows changed" if changed else f"{platform}: has these lists already")
    prove(night, "written_back", _lines(night, platform, current), remedy=REMEDY, platform=platform)


def _lines(night: Night, platform: str, current: Publication) -> Iterator[Line]:
    """Rows of the night's lists that were published, and published rows that the platform has, counted in its own warehouse."""
    published = _rows_of(published_lists(night.lake, current), platform)
    if current.as_of == night.as_of.isoformat():  # else a newer night is served
        made = _rows_of(night.read_table(night.key("lists.parquet")), platform)
        yield Line(platform, TABLE, night.as_of, "published", made, {"published": published})
    declared = night.platforms[platform]
    if declared.write_back is None:
        yield Line(platform, TABLE, night.as_of, "written_back", published, {"not_asked_for": published})
    else:  # a platform without any list keeps those of before
        there = rows_there(declared, night.settings) if published else 0
        yield Line(platform, TABLE, night.as_of, "written_back", published, {"written_back": there})


def _rows_of(lists: pa.Table, platform: str) -> int:
    return int(pc.sum(pc.equal(lists["platform"], platform)).as_py() or 0)


def _was_out_of_reach(night: Night, platform: str) -> bool:
    delivery = night.find(Delivery, platform)
    return delivery is not None and delivery.data_of < night.as_of and not delivery.is_held


def write_publication(night: Night, platform: str, publication: Publication) -> tuple[int, int]:
    """Give the platform its part of any publication; returns the rows changed in its warehouse, and the lists it now has.

    A platform that declares no table or folder for lists gets none.
    """
    declared = night.platforms[platform]
    lists = published_lists(night.lake, publication)
    own = lists.filter(pc.equal(lists["platform"], platform))
    if declared.write_back is None or not own.num_rows:
        return 0, 0
    own = own.append_column("publication_id", pa.array([publication.publication_id] * own.num_rows, pa.string()))
    known = [name for name in PLATFORM_COLUMNS if name in own.column_names]  # an old publication has fewer
    changed = write_to_platform(declared, own.select(known), night.settings)
    return changed, len(own["account_id"].unique())
