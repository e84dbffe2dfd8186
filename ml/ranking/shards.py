"""From the candidates of one shard of persons to the ranked rows of their lists."""

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

KEYS = ["person_id", "platform", "item_id"]
# what the model of serving candidates adds to the candidates
BESIDE_FEATURES = ["pinned_rank", "is_candidate", "is_new", "impressions_28d"]
# account_id: the account that a popular list is made for; null in a list of a person, which all their accounts share
RANKED = pa.schema(
    [
        *((name, pa.string()) for name in ("person_id", "account_id", "platform", "item_id", "product_id", "category")),
        ("rank", pa.int32()),
        ("score", pa.float64()),
        ("slot", pa.string()),
        ("propensity", pa.float64()),
        ("strategy", pa.string()),
        ("model_version", pa.string()),
    ]
)


def to_rank(candidates: pa.Table, scores: npt.NDArray[np.float32], max_impressions: int) -> pa.Table:
    """The rows that `ml.ranking.rerank.assign_slots` ranks.

    Args:
        candidates: person_id, platform, item_id, product_id, category, pinned_rank, is_new, impressions_28d, and is_candidate.
        scores: one for each row with is_candidate, in their order. The other rows are pinned and have a null score.
        max_impressions: a product that was shown so often without a positive interaction is held back.
    """
    of_all = np.zeros(candidates.num_rows, np.float32)
    is_candidate = candidates["is_candidate"].to_numpy()
    of_all[is_candidate] = scores
    rows = candidates.select([*KEYS, "product_id", "category", "pinned_rank", "is_new"])
    rows = rows.append_column("score", pa.array(of_all, mask=~is_candidate))
    return rows.append_column("is_overshown", pc.greater_equal(candidates["impressions_28d"], max_impressions))


def popular_to_rank(candidates: pa.Table, max_impressions: int) -> pa.Table:
    """Like `to_rank`, for candidates of popular lists, which have a score and an account_id.

    Each account is ranked like a person of its own, because two accounts of a person may be of different segments.
    """
    rows = candidates.select(["account_id", *KEYS[1:], "product_id", "category", "score", "pinned_rank"])
    rows = rows.rename_columns([*KEYS, "product_id", "category", "score", "pinned_rank"])
    return rows.append_column("is_overshown", pc.greater_equal(candidates["impressions_28d"], max_impressions))


def ranked_rows(placed: pa.Table, version: str | None) -> pa.Table:
    """The rows of `RANKED` of persons' lists, scored by model ``version``."""
    rows = placed.filter(pc.is_valid(placed["rank"]))
    return _as_ranked(rows, account_id=None, strategy="personalised", model_version=version)


def popular_rows(placed: pa.Table) -> pa.Table:
    """The rows of `RANKED` of popular lists, whose person_id is the account."""
    rows = placed.filter(pc.is_valid(placed["rank"]))
    rows = rows.rename_columns(["account_id" if name == "person_id" else name for name in rows.column_names])
    return _as_ranked(rows, person_id=None, strategy="popular", model_version=None)


def _as_ranked(rows: pa.Table, **constants: str | None) -> pa.Table:
    columns = [
        pa.array([constants[field.name]] * rows.num_rows, field.type)
        if field.name in constants
        else rows[field.name].cast(field.type)
        for field in RANKED
    ]
    return pa.table(columns, schema=RANKED)


def explorable_rows(placed: pa.Table, candidates: pa.Table) -> pa.Table:
    """The candidates, with all features, that an exploration slot might have shown; one of each list `is_shown`.

    From them a later night estimates what another model would have shown there (`ml.evaluation.off_policy`).
    """
    drawn = placed.append_column("is_shown", pc.is_valid(placed["rank"])).filter(pc.less(placed["propensity"], 1))
    features = candidates.drop_columns(BESIDE_FEATURES)
    explorable = features.join(drawn.select([*KEYS, "propensity", "is_shown"]), KEYS, join_type="inner")
    return explorable.sort_by([(key, "ascending") for key in KEYS])
