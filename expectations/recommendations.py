"""Gate `recommendations`: what the lists of one platform must be like before anyone sees them.

The lists claim whose they are, what they show and who made them. Nothing of that is believed here: every claim is compared with
what the identity, the catalogue, the candidates and the score tasks say.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from expectations.gate import stop, warn

if TYPE_CHECKING:
    import great_expectations as gx
    import pandas as pd

STRATEGIES = ("personalised", "popular")
SLOTS = ("ranked", "explored", "pinned")
# What other code says of each row: true where the row is what it claims to be
CONFIRMED = (
    "is_account",
    "is_own",
    "in_catalogue",
    "is_product",
    "is_available",
    "is_proposed",
    "is_scored",
    "is_id_unique",
)
FLAGS = (*CONFIRMED, "is_consumed", "is_banned")
COMPLETE = (
    *(
        "platform",
        "account_id",
        "person_id",
        "rank",
        "item_id",
        "product_id",
        "strategy",
        "slot",
        "propensity",
        "reason",
    ),
    *("as_of", "recommendation_id", *FLAGS),
)
LARGEST = sys.float_info.max
FEWEST = 100  # accounts that a share counts at least: one account of a small platform is no share of it
ENOUGH = 20  # persons whose lists can be compared with each other
UNLIKELY = 1e-9  # what happens by chance less often than this does not happen by chance
REVERSED = -6.0  # standard errors
# reasons that no generator words; those of generators are declared in seed `generators`
REASONS = (
    *(
        "chosen by the editors",
        "something different for you",
        "because of what you like",
        "popular with people your age",
    ),
    *("popular on {platform}", "popular across platforms", "new on {platform}", "available on {platform}"),
)


@dataclass(frozen=True)
class Declared:
    """What settings and the serving model promise of tonight's lists, see `infra.settings.Settings`."""

    as_of: date
    model_version: str | None  # of the record ServingModel; None before the first model
    list_size: int = 20
    max_per_category: int = 8
    diversity: float = 0.0
    exploration: float = 0.0
    explored_from: int = 10  # rows next in line among which the exploration slot draws
    min_list_length: int = 10
    max_short_lists: float = 0.05
    max_lists_lost: float = 0.05


def reason_pattern(templates: Collection[str], words: Mapping[str, Collection[str] | None]) -> str:
    """A regular expression that matches a whole reason of one of the ``templates``, and nothing else.

    ``words`` has what may stand for each {placeholder}; None is any text.
    """

    def worded(template: str) -> str:
        parts = re.split(r"\{(\w+)\}", template)
        return "".join(_one_of(words[part]) if number % 2 else re.escape(part) for number, part in enumerate(parts))

    return f"(?s)^(?:{'|'.join(sorted({worded(template) for template in templates}))})$"


def _one_of(words: Collection[str] | None) -> str:
    return ".+" if words is None else f"(?:{'|'.join(sorted(map(re.escape, words)))})"


def frame(
    lists: pa.Table,
    declared: Declared,
    *,
    entitled: pa.Table,
    population: pa.Array | pa.ChunkedArray,
    available_items: int,
    reasons: str,
    rows_lost: int = 0,
    versions: Collection[str | None] = (),
    previous: pa.Table | None = None,
) -> pa.Table:
    """The frame that `suite` checks: the lists of one platform, and what they are measured against.

    Args:
        lists: platform, account_id, person_id, rank, item_id, product_id, score, strategy, slot, propensity, reason, category, as_of,
            model_version, recommendation_id; the booleans of `FLAGS`, which are false rather than null where nothing is known; and
            two numbers that may be null: generators (how many proposed the row) and usual_generators (of all the person's candidates).
        declared: what is promised.
        entitled: account_id of every account that must have a list, and products_left: how many products the platform can show it.
        population: the ids of all active accounts, whether they must have a list or not.
        available_items: the size of the catalogue that may be recommended.
        reasons: a regular expression that every reason matches, see `reason_pattern`.
        rows_lost: rows that the score tasks ranked for accounts of the platform and that no list has.
        versions: the model versions of the lists of all platforms; None stands for lists that no model made.
        previous: the lists of the last publication (account_id, item_id), or None.

    Returns:
        The rows of ``lists`` with what `_of_rows` finds about each row, and what `_of_all_lists` finds, the same on all rows.
    """
    names = ["account_id", "person_id", "rank", "item_id", "score", "strategy", "slot", "category", "propensity"]
    rows = lists.select([*names, "generators", "usual_generators"]).to_pandas()
    about_all = {
        "rows_lost": float(rows_lost),
        "model_versions": float(len({*versions} - {None})),
        "coverage": rows["item_id"].nunique() / max(available_items, 1),
        **_of_accounts(rows, declared, entitled, population, previous),
        **_of_the_model(rows, declared, available_items),
    }
    derived = _of_rows(lists, rows, declared, reasons) | {
        name: pa.repeat(pa.scalar(value, pa.float64()), len(rows)) for name, value in about_all.items()
    }
    for name, values in derived.items():
        lists = lists.append_column(name, values)
    return lists


def _of_rows(lists: pa.Table, rows: pd.DataFrame, declared: Declared, reasons: str) -> dict[str, Any]:
    """About each row.

    rank_error: rank minus the place in its list. score_missing: only a pinned row needs no score. score_rise: by how much the score
    of a ranked row exceeds that of the ranked row above it, 0 for others. category_count: rows of its category in its list, without
    pinned ones. And whether it is of tonight, of the serving version, of a declared propensity and of a declared reason.
    """
    in_order = rows.sort_values(["account_id", "rank"], kind="stable")
    place = (in_order.groupby("account_id", sort=False, dropna=False).cumcount() + 1).reindex(rows.index)
    ranked = in_order[in_order["slot"] == "ranked"]
    # rows of one category alone stand by score in a diverse list
    comparable = ["account_id", "category"] if declared.diversity else ["account_id"]
    rise = ranked.groupby(comparable, sort=False, dropna=False)["score"].diff().reindex(rows.index).fillna(0.0)
    competing = rows[rows["slot"] != "pinned"].groupby(["account_id", "category"])
    category_count = competing["item_id"].transform("size").reindex(rows.index)
    serving = pa.scalar(declared.model_version, pa.string())
    made_by = pc.if_else(pc.equal(lists["strategy"], "personalised"), serving, pa.scalar(None, pa.string()))
    version = lists["model_version"]
    return {
        "rank_error": pa.array((rows["rank"] - place).to_numpy()),
        "score_missing": pc.and_(pc.is_null(lists["score"]), pc.not_equal(lists["slot"], "pinned")),
        "score_rise": pa.array(rise.to_numpy()),
        "category_count": pa.array(category_count, from_pandas=True),
        "is_of_tonight": pc.equal(lists["as_of"], pa.scalar(declared.as_of)),
        "is_of_serving_version": pc.or_(
            pc.and_(pc.is_null(version), pc.is_null(made_by)), pc.fill_null(pc.equal(version, made_by), False)
        ),
        "is_declared_propensity": pa.array(_declared_propensity(rows, declared)),
        "is_declared_reason": pc.match_substring_regex(lists["reason"], reasons),
    }


def _declared_propensity(rows: pd.DataFrame, declared: Declared) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """Whether each row has a propensity that the declared exploration gives: one slot of a personalised list draws, no other does."""
    share, propensity = declared.exploration, rows["propensity"].to_numpy(float, na_value=np.nan)
    one = np.isclose(propensity, 1)
    kept = (rows["slot"] == "ranked").to_numpy(bool, na_value=False) & np.isclose(propensity, 1 - share)
    drawn = np.zeros(len(rows), bool)
    for rivals in range(1, declared.explored_from + 1):
        drawn |= np.isclose(propensity, share / rivals)
    explored = (rows["slot"] == "explored").to_numpy(bool, na_value=False)
    personalised = (rows["strategy"] == "personalised").to_numpy(bool, na_value=False)
    may_draw = personalised & bool(share) & np.where(explored, drawn, kept)
    drawing = (~one).astype(int)
    alone = rows.assign(drawing=drawing).groupby("account_id", dropna=False)["drawing"].transform("sum").to_numpy() <= 1
    declared_one = one & ~explored
    result: np.ndarray[Any, np.dtype[np.bool_]] = declared_one | (may_draw & alone)
    return result


def _of_accounts(
    rows: pd.DataFrame,
    declared: Declared,
    entitled: pa.Table,
    population: pa.Array | pa.ChunkedArray,
    previous: pa.Table | None,
) -> dict[str, float]:
    """accounts_without_list; short_lists, lists_lost and popular_share (of accounts); kept_from_previous (of rows; 1 without any).

    A list is short if it has fewer rows than declared, although the platform can show the account more. A list is lost where the last
    publication has one, the account is still active, and tonight has none.
    """
    import pandas as pd

    length = rows.groupby("account_id")["item_id"].size()
    must = entitled.select(["account_id", "products_left"]).to_pandas()
    missing = ~must["account_id"].isin(length.index)
    wanted = must["products_left"].fillna(0).clip(upper=min(declared.min_list_length, declared.list_size))
    short = must["account_id"].map(length).fillna(0) < wanted
    popular = rows.loc[rows["strategy"] == "popular", "account_id"].nunique()
    kept = lost = accounts_before = 0.0
    if has_previous := previous is not None and previous.num_rows > 0:
        before = previous.select(["account_id", "item_id"]).to_pandas()
        active = before.loc[before["account_id"].isin(population.to_pylist()), "account_id"].drop_duplicates()
        accounts_before, lost = len(active), float((~active.isin(length.index)).sum())
        before = before[before["account_id"].isin(rows["account_id"])]
        if has_previous := len(before) > 0:
            kept = float(pd.MultiIndex.from_frame(before).isin(pd.MultiIndex.from_frame(rows[before.columns])).mean())
    return {
        "accounts_without_list": float(missing.sum()),
        "short_lists": float((short & ~missing).sum()) / max(len(must), FEWEST),
        "lists_lost": lost / max(accounts_before, FEWEST),
        "popular_share": popular / max(rows["account_id"].nunique(), 1),
        "kept_from_previous": kept if has_previous else 1.0,
    }


def _of_the_model(rows: pd.DataFrame, declared: Declared, available_items: int) -> dict[str, float]:
    """Whether the personalised lists come from a model that tells people and items apart.

    constant_lists: share of lists whose ranked rows all have one score. same_list: share of the persons who have the commonest list.
    same_scores: the same for the scores. They are 0 for fewer than `ENOUGH` persons, and same_list also where the catalogue is no
    larger than a list. generator_gain: by how many standard errors the rows of lists were proposed by more generators than the
    person's candidates on average; what was consumed before is left out, for one generator alone proposes it. explored_chance: how
    likely so many lists explore, or fewer or more than that, given the declared share.
    """
    import pandas as pd

    result = {
        "constant_lists": 0.0,
        "same_list": 0.0,
        "same_scores": 0.0,
        "generator_gain": 0.0,
        "explored_chance": 1.0,
    }
    personal = rows[rows["strategy"] == "personalised"]
    first = personal.groupby("person_id")["account_id"].transform("min")  # the accounts of a person have one list
    personal = personal[personal["account_id"] == first]
    ranked = personal[(personal["slot"] == "ranked") & personal["score"].notna()].sort_values(["person_id", "rank"])
    persons = ranked["person_id"].nunique()
    if persons < ENOUGH:
        return result

    spread = ranked.groupby("person_id")["score"].agg(["min", "max", "size"])
    comparable = spread[spread["size"] > 1]
    result["constant_lists"] = float((comparable["min"] == comparable["max"]).mean()) if len(comparable) else 0.0
    whole = ranked[ranked["propensity"] == 1]  # without the slot that draws
    for name, column in (("same_list", "item_id"), ("same_scores", "score")):
        hashed = pd.util.hash_array(whole[column].to_numpy()) * (2 * whole["rank"].to_numpy(np.uint64) + np.uint64(1))
        signature = pd.Series(hashed).groupby(whole["person_id"].to_numpy()).sum()
        result[name] = float(signature.value_counts().iloc[0] / len(signature)) if len(signature) else 0.0
    if available_items <= declared.list_size:
        result["same_list"] = 0.0

    proposed = ranked[["person_id", "generators", "usual_generators"]].dropna()
    gain = (proposed["generators"] - proposed["usual_generators"]).astype(float).groupby(proposed["person_id"]).mean()
    if len(gain) >= ENOUGH and gain.std() > 0:
        result["generator_gain"] = float(gain.mean() / (gain.std() / np.sqrt(len(gain))))

    drawing = personal[personal["propensity"] < 1]
    if len(drawing) and declared.exploration:
        from scipy.stats import binomtest

        explored = int((drawing["slot"] == "explored").sum())
        result["explored_chance"] = float(binomtest(explored, len(drawing), declared.exploration).pvalue)
    return result


def suite(
    declared: Declared,
    *,
    popular_share_limit: float = 0.5,
    coverage_floor: float = 0.05,
    kept_floor: float = 0.1,
) -> gx.ExpectationSuite:
    """Rules over `frame`: complete and well-formed lists of their owners for every active account, made by the serving model."""
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
            *(
                gxe.ExpectColumnMaxToBeBetween(column=column, max_value=most, **stop(words, why=why, remedy=remedy))
                for column, most, words, why, remedy in (
                    (
                        "rows_lost",
                        0,
                        "every row that the score tasks ranked in a list",
                        "what was ranked and got lost leaves somebody a shorter list or an older one",
                        "look at the models from `list_rows` to `recommendations`: a join leaves rows out",
                    ),
                    (
                        "short_lists",
                        declared.max_short_lists,
                        f"lists of {declared.min_list_length} items or more for all but {declared.max_short_lists:.0%} of the accounts",
                        "a list of a few items is an empty page with a title",
                        "compare the candidates by person with the last night's; for a catalogue with little to offer lower "
                        "CROSSREC_MIN_LIST_LENGTH",
                    ),
                    (
                        "lists_lost",
                        declared.max_lists_lost,
                        f"a list tonight for all but {declared.max_lists_lost:.0%} of the active accounts that have one now",
                        "accounts that drop out of the population drop out of every other check too",
                        "compare `person_accounts` and `entitled_accounts` with last night's; where these people had all that is offered, "
                        "raise CROSSREC_MAX_LISTS_LOST for one night",
                    ),
                    (
                        "constant_lists",
                        0.5,
                        "scores that differ within the personalised lists (all the same in at most 50% of them)",
                        "the model tells no item from another, so the order is that of their ids",
                        "look at the loss of the last training; give the alias champion back to the version before",
                    ),
                    (
                        "same_list",
                        0.5,
                        "lists that differ from person to person (the commonest for at most 50% of them)",
                        "a personalised list that everybody has is nobody's",
                        "compare the features of persons with last night's; give the alias champion back to the version before",
                    ),
                    (
                        "same_scores",
                        0.5,
                        "scores that differ from person to person (the commonest for at most 50% of them)",
                        "scores that everybody has say nothing of anybody",
                        "see whether the score tasks stored the model's scores and not the ranks",
                    ),
                )
            ),
            gxe.ExpectColumnMinToBeBetween(
                column="generator_gain",
                min_value=REVERSED,
                **stop(
                    "lists of what more generators proposed than an average candidate (in standard errors)",
                    why="lists that prefer what fewest generators found are upside down",
                    remedy="look for a sign or an order that was turned in the score task, or in the last training",
                ),
            ),
            gxe.ExpectColumnMinToBeBetween(
                column="explored_chance",
                min_value=UNLIKELY,
                **stop(
                    f"about {declared.exploration:.0%} of the personalised lists exploring (the probability of so many)",
                    why="the propensities say how often a list explores; they are wrong if it does so more or less often",
                    remedy="compare CROSSREC_EXPLORATION with that of the score tasks; CROSSREC_EXPLORATION=0 turns it off",
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
                max_value=declared.list_size,
                **stop(
                    f"at most {declared.list_size} items in a list",
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
                        "is_account",
                        True,
                        "only accounts that the platform has and that are not deleted",
                        "nobody reads such a list, and somebody may have asked to be forgotten",
                        "see whether tonight's accounts reached the step that makes the lists (`int_accounts`, `person_accounts`)",
                    ),
                    (
                        "is_own",
                        True,
                        "every list under the person whom the account belongs to",
                        "a stranger's list shows one person what another did",
                        "compare `person_accounts` with the night's table `account_persons` in the lake; look for a join on account_id "
                        "without platform; then clear `score` with Downstream",
                    ),
                    (
                        "is_product",
                        True,
                        "every item under the product that it is",
                        "what the person had before is known by product",
                        "compare `product_items` with the lists; look for a join on item_id without platform",
                    ),
                    (
                        "is_proposed",
                        True,
                        "only items that were proposed to the account's own person, or that its popular list or a pin has",
                        "an item that nobody proposed to this person came from somebody else's list",
                        "compare the lists with `candidates`, `popular_lists` and `active_rules` of tonight; clear `score` with Downstream",
                    ),
                    (
                        "is_scored",
                        True,
                        "only rows that the score tasks ranked for the account's own person, with that rank, slot, score and version",
                        "a row that nobody scored has a place that nobody can explain",
                        "look at the models from `list_rows` to `recommendations`; clear `assemble_lists` with Downstream",
                    ),
                    (
                        "is_id_unique",
                        True,
                        "a recommendation_id of its own for every row",
                        "what people do with a row is told back by its id",
                        "look at recommendation_id in `recommendations.sql`",
                    ),
                    (
                        "is_of_tonight",
                        True,
                        f"only rows of {declared.as_of}",
                        "lists of another night know other people, items and bans",
                        "clear `assemble_lists` with Downstream: it built the lists from another night's rows",
                    ),
                    (
                        "is_of_serving_version",
                        True,
                        f"personalised rows of version {declared.model_version}, which serves tonight, and popular ones of none"
                        if declared.model_version
                        else "rows of no model, for none serves tonight",
                        "the report and the publication would name another version than the one that made the lists",
                        "clear the score tasks and run them again: they scored with another version than the night fixed",
                    ),
                    (
                        "is_declared_propensity",
                        True,
                        "propensities that the declared exploration gives: 1 except in the one slot that draws",
                        "what people do with a list teaches something false where its probability is wrong",
                        "compare CROSSREC_EXPLORATION with that of the score tasks; CROSSREC_EXPLORATION=0 turns it off",
                    ),
                    (
                        "is_declared_reason",
                        True,
                        "only reasons of a declared kind, which name no platform that does not share its reasons",
                        "people read it, and it may tell what must not be told",
                        "look at seed `generators` and `recommendations.sql`; a new kind of reason is declared in "
                        "`expectations/recommendations.py`",
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
                max_value=declared.max_per_category,
                **warn(
                    f"at most {declared.max_per_category} items of one category in a list",
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
