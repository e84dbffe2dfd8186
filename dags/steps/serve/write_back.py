"""Give each platform its lists, in its own warehouse."""

import logging

import pyarrow as pa
import pyarrow.compute as pc

from dags.steps.night import Night
from dags.steps.records import WrittenBack
from infra.platforms import write_back as write_to_platform
from infra.publications import Publication, published_lists, require_current

log = logging.getLogger(__name__)

PLATFORM_COLUMNS = [
    *("account_id", "rank", "item_id", "score", "strategy", "slot", "propensity", "reason"),
    *("as_of", "model_version", "publication_id", "recommendation_id"),
]


def write_back(night: Night, platform: str) -> None:
    """Give one platform its part of the current publication.

    Raises:
        PublishError: nothing is published yet, or the publication is damaged.
        PlatformError: the platform's warehouse cannot be written.
    """
    current, _ = require_current(night.lake)
    changed, lists = write_publication(night, platform, current)
    night.write(WrittenBack(publication_id=current.publication_id, lists=lists, rows_changed=changed), platform)
    log.info(f"{platform}: {changed:,} rows changed" if changed else f"{platform}: has these lists already")


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
