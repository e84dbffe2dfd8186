"""From scores to lists: business rules and order."""

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from ml.evaluation.metrics import Ints, position_in_group, sorted_codes


def rerank(scored: pa.Table, list_size: int, max_per_category: int | None = None) -> pa.Table:
    """The best `list_size` items of each (person_id, platform), with their `rank` from 1.

    `scored` has person_id, platform, item_id, score, and any of: is_consumed, is_available (rows consumed, or not
    available, are left out; null reads as not consumed and available), category (at most `max_per_category` of one in a
    list; null is no category and has no cap). A list the cap leaves short is filled with the best of what it held
    back. Best is the higher score, then the smaller item_id. Other columns pass through.
    """
    if wrong := scored.num_rows - pc.sum(pc.is_finite(scored["score"]), min_count=0).as_py():
        raise ValueError(f"{wrong:,} of {scored.num_rows:,} scores are null, NaN or infinite; score them again")
    if "is_consumed" in scored.column_names:
        scored = scored.filter(pc.invert(pc.fill_null(scored["is_consumed"], False)))
    if "is_available" in scored.column_names:
        scored = scored.filter(pc.fill_null(scored["is_available"], True))

    platform = sorted_codes(scored["platform"])
    person = sorted_codes(scored["person_id"])
    lists = person * (platform.max(initial=0) + 1) + platform
    best_first = np.lexsort((sorted_codes(scored["item_id"]), -scored["score"].to_numpy(), lists))
    scored, lists = scored.take(best_first), lists[best_first]

    if max_per_category is not None and "category" in scored.column_names:
        held_back = _beyond_cap(lists, scored["category"], max_per_category)
        preferred = np.lexsort((held_back, lists))  # stable: by score within each part
    else:
        preferred = np.arange(scored.num_rows)
    chosen = np.sort(preferred[position_in_group(lists[preferred]) < list_size])
    ranks = position_in_group(lists[chosen]) + 1
    return scored.take(chosen).append_column("rank", pa.array(ranks, pa.int32()))


def _beyond_cap(lists: Ints, category: pa.ChunkedArray, cap: int) -> npt.NDArray[np.bool_]:
    """Rows whose list has `cap` better rows of their category; rows come best first within each list."""
    codes = sorted_codes(pc.fill_null(category, ""))
    groups = lists * (codes.max(initial=0) + 1) + codes
    together = np.argsort(groups, kind="stable")
    beyond = np.empty(len(lists), bool)
    beyond[together] = position_in_group(groups[together]) >= cap
    capped: npt.NDArray[np.bool_] = beyond & pc.is_valid(category).to_numpy()
    return capped
