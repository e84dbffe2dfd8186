"""Gate `recommendations`: what the lists of one platform must be like before anyone sees them."""

from __future__ import annotations

import sys
from collections.abc import Collection
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from expectations.gate import stop, warn

if TYPE_CHECKING:
    import great_expectations as gx

STRATEGIES = ("personalised", "popular")
SLOTS = ("ranked", "explored", "pinned")
FLAGS = ("is_consumed", "is_available", "in_catalogue", "is_banned")
COMPLETE = ("platform", "account_id", "rank", "item_id", "strategy", "slot", "propensity", "reason", *FLAGS)
LARGEST = sys.float_info.max


def flagged(lists: pa.Table, items: pa.Table, consumed: pa.Table) -> pa.Table:
    """The rows of ``lists`` in order of platform, account and rank, with the four `FLAGS` that `frame` needs.

    Args:
        lists: platform, account_id, rank, person_id, item_id, product_id, and any other columns.
        items: every item of every platform: platform, item_id, is_available, is_banned.
        consumed: what no list of a platform shows a person: person_id, platform, product_id.
    """
    known = items.select(["platform", "item_id", "is_available", "is_banned"])
    known = known.append_column("in_catalogue", pa.repeat(True, known.num_rows))
    had = consumed.select(["person_id", "platform", "product_id"])
    had = had.append_column("is_consumed", pa.repeat(True, had.num_rows))
    rows = lists.join(known, ["platform", "item_id"]).join(had, ["person_id", "platform", "product_id"])
    for name in FLAGS:
        rows = rows.set_column(rows.column_names.index(name), name, pc.fill_null(rows[name], False))
    return rows.sort_by([(name, "ascending") for name in ("platform", "account_id", "rank")])


def frame(
    lists: pa.Table,
    *,
    active_accounts: pa.Array | pa.ChunkedArray,
    available_items: int,
    versions: Collection[str | None] = (),
    previous: pa.Table | None = None,
    diverse: bool = False,
) -> pa.Table:
    """The frame that `suite` checks: the lists of one platform, and what they are measured against.

    Args:
        lists: platform, account_id, rank, item_id, product_id, score, strategy, slot, propensity, reason, category, and four booleans
            that are false rather than null where nothing is known: is_consumed (the person had this product before, and the platform
            does not declare that its items are consumed again), is_available (the item may be recommended tonight), in_catalogue (the
            platform has such an item at all), is_banned (a rule keeps it out).
        active_accounts: the ids of the accounts that must get a list.
        available_items: the size of the catalogue that may be recommended.
        versions: the model versions of the lists of all platforms; None stands for lists that no model made.
        previous: the lists of the last publication (account_id, item_id), or None.
        diverse: whether only rows of one category stand by score.

    Returns:
        The rows of ``lists`` with columns about each row: rank_error (rank minus the place in its list), score_missing (only a pinned
        row needs no score), score_rise (by how much the score of a ranked row exceeds that of the ranked row above it, 0 for others),
        category_count (rows of its category in its list, without pinned ones). Other columns are the same on all rows:
        accounts_without_list, model_versions (how many versions made the lists of all platforms), popular_share (of accounts), coverage
        (share of the available items that are in some list), kept_from_previous (share of the rows of the last lists that are still
        there; 1 without any).
    """
    import pandas as pd

    rows = lists.select(["account_id", "rank", "item_id", "score", "strategy", "slot", "category"]).to_pandas()
    in_order = rows.sort_values(["account_id", "rank"], kind="stable")
    place = (in_order.groupby("account_id", sort=False, dropna=False).cumcount() + 1).reindex(rows.index)
    comparable = ["account_id", "category"] if diverse else ["account_id"]
    by_score = in_order[in_order["slot"] == "ranked"].groupby(comparable, sort=False, dropna=False)
    rise = by_score["score"].diff().reindex(rows.index).fillna(0.0)
    competing = rows[rows["slot"] != "pinned"].groupby(["account_id", "category"])
    category_count = competing["item_id"].transform("size").reindex(rows.index)
    popular = rows.loc[rows["strategy"] == "popular", "account_id"].nunique()
    missing = set(active_accounts.to_pylist()) - set(rows["account_id"])
    kept = 1.0
    if previous is not None and previous.num_rows:
        before = previous.select(["account_id", "item_id"]).to_pandas()
        before = before[before["account_id"].isin(rows["account_id"])]
        if len(before):
            kept = float(pd.MultiIndex.from_frame(before).isin(pd.MultiIndex.from_frame(rows[before.columns])).mean())

    def everywhere(value: float) -> pa.Array:
        return pa.repeat(pa.scalar(value, pa.float64()), len(rows))

    derived = {
        "rank_error": pa.array((rows["rank"] - place).to_numpy()),
        "score_missing": pc.and_(pc.is_null(lists["score"]), pc.not_equal(lists["slot"], "pinned")),
        "score_rise": pa.array(rise.to_numpy()),
        "category_count": pa.array(category_count, from_pandas=True),
        "accounts_without_list": everywhere(len(missing)),
        "model_versions": everywhere(len({*versions} - {None})),
        "popular_share": everywhere(popular / max(rows["account_id"].nunique(), 1)),
        "coverage": everywhere(rows["item_id"].nunique() / max(available_items, 1)),
        "kept_from_previous": everywhere(kept),
    }
    for name, values in derived.items():
        lists = lists.append_column(name, values)
    return lists


def suite(
    *,
    list_size: int = 20,
    max_per_category: int = 8,
    popular_share_limit: float = 0.5,
    coverage_floor: float = 0.05,
    kept_floor: float = 0.1,
) -> gx.ExpectationSuite:
    """Rules over `frame`: complete and well-formed lists for every active account, nothing that must not be shown."""
    import great_expectations as gx
    import great_expectations.expectations as gxe

    return gx.ExpectationSuite(
        name="recommendations",
        expectations=[
            gxe.ExpectTableRowCountToBeBetween(
                min_value=1,
                **stop(
                    "at least one list",
                    why="publishing nothing would empty the platform's page",
                    remedy="see the score task: no candidates, or no champion model; and whether the platform says of any item "
                    "that it is available",
                ),
            ),
            *(
                gxe.ExpectColumnValuesToNotBeNull(
                    column=column,
                    **stop(
                        f"a value of {column} in every row",
                        why="the platform cannot show a row without it",
                        remedy="look at the re-ranking step's output and the join that names the items",
                    ),
                )
                for column in COMPLETE
            ),
            gxe.ExpectColumnMaxToBeBetween(
                column="accounts_without_list",
                max_value=0,
                **stop(
                    "a list for every active account",
                    why="these people would see an empty page",
                    remedy="see why the popular fallback gave them none: a segment without items, or an account "
                    "without a person",
                ),
            ),
            gxe.ExpectColumnMaxToBeBetween(
                column="model_versions",
                max_value=1,
                **stop(
                    "lists of one model version",
                    why="a publication names one model version; lists of another would be explained under the wrong name",
                    remedy="clear the score tasks and run them again: a version was promoted while they ran",
                ),
            ),
            gxe.ExpectCompoundColumnsToBeUnique(
                column_list=["platform", "account_id", "rank"],
                **stop(
                    "one item per rank of a list",
                    why="the platform would show one of them by chance",
                    remedy="look for an account that was scored in two shards or belongs to two persons",
                ),
            ),
            gxe.ExpectCompoundColumnsToBeUnique(
                column_list=["platform", "account_id", "item_id"],
                **stop(
                    "every item once in a list",
                    why="nobody wants the same thing twice",
                    remedy="look for candidates of several generators that were not merged",
                ),
            ),
            gxe.ExpectCompoundColumnsToBeUnique(
                column_list=["platform", "account_id", "product_id"],
                **stop(
                    "every product once in a list",
                    why="a hardcover and its paperback are the same thing to whoever reads the list",
                    remedy="see whether candidates, popular lists and pins each have one item of a product",
                ),
            ),
            gxe.ExpectColumnValuesToBeInSet(
                column="rank_error",
                value_set=[0],
                **stop(
                    "ranks 1, 2, 3 ... without a gap",
                    why="a gap is an item that was lost after ranking",
                    remedy="rank after the last filter of the re-ranking step, not before",
                ),
            ),
            gxe.ExpectColumnValuesToBeBetween(
                column="rank",
                max_value=list_size,
                **stop(
                    f"at most {list_size} items in a list",
                    why="platforms reserve room for no more",
                    remedy="look at CROSSREC_LIST_SIZE and the cut in the re-ranking step",
                ),
            ),
            *(
                gxe.ExpectColumnValuesToBeInSet(column=column, value_set=[value], **stop(words, why=why, remedy=remedy))
                for column, value, words, why, remedy in (
                    (
                        "score_missing",
                        False,
                        "a value of score in every row that is not pinned",
                        "nobody can tell why such a row stands where it stands",
                        "look at the re-ranking step's output and the join that names the items",
                    ),
                    (
                        "is_banned",
                        False,
                        "nothing that a rule bans",
                        "somebody decided that nobody may be shown it",
                        "see whether `active_rules` of tonight reached the step that makes the lists",
                    ),
                    (
                        "is_consumed",
                        False,
                        "nothing that the person already had and that is not consumed again there",
                        "people take it as proof that nobody knows them",
                        "see whether `interactions` of tonight reached the re-ranking step's filter; where a platform's items are "
                        "consumed again and again, its declaration says so (repeat_consumption)",
                    ),
                    (
                        "is_available",
                        True,
                        "only items that are available tonight",
                        "a click would end on an error page",
                        "see whether the items' newest load reached `items` before the lists were made",
                    ),
                    (
                        "in_catalogue",
                        True,
                        "only items of the platform's own catalogue",
                        "an item id of another platform means nothing here",
                        "look for a join on item_id without platform",
                    ),
                )
            ),
            gxe.ExpectColumnValuesToBeBetween(
                column="score",
                min_value=-LARGEST,
                max_value=LARGEST,
                **stop(
                    "finite scores",
                    why="an undefined score puts items in any order",
                    remedy="see the training task's loss: a model that diverged must not be champion; "
                    "`crossrec rollback` brings the last lists back",
                ),
            ),
            gxe.ExpectColumnValuesToBeBetween(
                column="score_rise",
                max_value=0,
                **stop(
                    "scores of ranked rows that never rise down a list",
                    why="rank and score disagree, so one of them is wrong",
                    remedy="store the score that the re-ranking step sorted by",
                ),
            ),
            gxe.ExpectColumnValuesToBeBetween(
                column="propensity",
                min_value=0,
                strict_min=True,
                max_value=1,
                **stop(
                    "propensities above 0 and up to 1",
                    why="what people do with a list teaches nothing where it is unknown how likely that list was",
                    remedy="look at the exploration of the re-ranking step; CROSSREC_EXPLORATION=0 turns it off",
                ),
            ),
            gxe.ExpectColumnValuesToBeInSet(
                column="slot",
                value_set=list(SLOTS),
                **stop(
                    f"slot {' or '.join(SLOTS)}",
                    why="it tells how a row came to its place",
                    remedy="look at the re-ranking step's output",
                ),
            ),
            gxe.ExpectColumnValuesToBeInSet(
                column="strategy",
                value_set=list(STRATEGIES),
                **stop(
                    f"strategy {' or '.join(STRATEGIES)}",
                    why="platforms label the list by it",
                    remedy="look at the re-ranking step's output",
                ),
            ),
            gxe.ExpectColumnValuesToBeBetween(
                column="category_count",
                max_value=max_per_category,
                **warn(
                    f"at most {max_per_category} items of one category in a list",
                    why="a list of one kind only is dull and teaches the model nothing new",
                    remedy="nothing for a small catalogue; otherwise see CROSSREC_MAX_PER_CATEGORY",
                ),
            ),
            gxe.ExpectColumnMaxToBeBetween(
                column="popular_share",
                max_value=popular_share_limit,
                **warn(
                    f"the popular list for at most {popular_share_limit:.0%} of the accounts",
                    why="the popular list is for people nobody knows yet; many of them mean missing candidates",
                    remedy="compare the number of persons in `candidates` with last night's",
                ),
            ),
            gxe.ExpectColumnMinToBeBetween(
                column="coverage",
                min_value=coverage_floor,
                **warn(
                    f"at least {coverage_floor:.0%} of the available items in some list",
                    why="everybody gets the same few items: the model may have collapsed to popularity",
                    remedy="compare coverage by night in the report; look at the last promotion",
                ),
            ),
            gxe.ExpectColumnMinToBeBetween(
                column="kept_from_previous",
                min_value=kept_floor,
                **warn(
                    f"at least {kept_floor:.0%} of the last lists' items still in them",
                    why="lists that change completely overnight come from a new model or from broken features",
                    remedy="fine after a promotion or a pause of many nights; otherwise compare the features' "
                    "distributions",
                ),
            ),
        ],
    )
