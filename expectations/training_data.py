"""Gate `training_data`: what the examples must look like before a model learns from them."""

from __future__ import annotations

import sys
from collections.abc import Collection, Mapping, Sequence
from datetime import date
from typing import TYPE_CHECKING

import pyarrow as pa

from expectations.gate import stop, warn

if TYPE_CHECKING:
    import great_expectations as gx

GRAIN = ("as_of", "person_id", "platform", "item_id")
POSITIVE_RATE = (0.0005, 0.5)
LARGEST = sys.float_info.max
# No honest feature of the demo, small or whole, was outside 0.33 to 0.73 in any snapshot; the best rankers known rarely pass 0.9
# with all features together. A feature that knows the label is at 0.99 or 0.01.
HIGHEST_AUC_ALONE = 0.95


def frame(examples: pa.Table, *, candidate_recall: float) -> pa.Table:
    """The frame that `suite` checks: the training examples and, on every row, the candidates' recall.

    ``examples`` has as_of, person_id, platform, item_id, label and a column per feature. ``candidate_recall`` is the
    share (0..1) of what people really chose in the horizon that was among their candidates.
    """
    return examples.append_column(
        "candidate_recall", pa.repeat(pa.scalar(candidate_recall, pa.float64()), examples.num_rows)
    )


def frame_of_features(newest: Mapping[str, float], older: Mapping[str, float]) -> pa.Table:
    """One row per feature: its AUC alone in the newest labelled snapshot and over the older ones; null where there is none."""
    features = list(dict.fromkeys([*newest, *older]))
    return pa.table(
        {"feature": pa.array(features, pa.string())}
        | {
            name: pa.array([aucs.get(feature) for feature in features], pa.float64())
            for name, aucs in (("newest", newest), ("older", older))
        }
    )


def suite_of_features() -> gx.ExpectationSuite:
    """Rules over `frame_of_features`: no feature knows the answer."""
    import great_expectations as gx
    import great_expectations.expectations as gxe

    lowest, highest = round(1 - HIGHEST_AUC_ALONE, 6), HIGHEST_AUC_ALONE
    return gx.ExpectationSuite(
        name="features_alone",
        meta={"named_by": "feature"},
        expectations=[
            gxe.ExpectColumnValuesToBeBetween(
                column=column,
                min_value=lowest,
                max_value=highest,
                **stop(
                    f"no feature that tells the labels of {snapshots} apart by itself (an AUC under {lowest:g} or over {highest:g})",
                    why="what was known before as_of never predicts so well what happens after it: the feature reads the future",
                    remedy="look at its SQL: it must read only what was known before as_of (`known_by`), and no label. If it "
                    "is honest, such candidates are too easy to need a model: leave them out, or raise "
                    "HIGHEST_AUC_ALONE in `expectations/training_data.py` with the reason",
                ),
            )
            for column, snapshots in (("newest", "the newest labelled snapshot"), ("older", "the older snapshots"))
        ],
    )


def suite_of_nothing() -> gx.ExpectationSuite:
    """The one rule for an empty frame. All other rules would fail for the same reason."""
    import great_expectations as gx

    return gx.ExpectationSuite(name="training_data", expectations=[_some_examples()])


def suite_of_short_history(days_needed: int, first_night: date) -> gx.ExpectationSuite:
    """The one rule before the first model, over a frame with ``days_of_history``."""
    import great_expectations as gx
    import great_expectations.expectations as gxe

    return gx.ExpectationSuite(
        name="training_data",
        expectations=[
            gxe.ExpectColumnMinToBeBetween(
                column="days_of_history",
                min_value=days_needed,
                **warn(
                    f"at least {days_needed} days of events",
                    why="a model needs a snapshot to train on, with people who have two events before it and a positive "
                    "interaction after it, and a later snapshot to be held out",
                    remedy="nothing: everybody gets the popular lists of their platform and segment until "
                    f"the night of {first_night}, the first that can train",
                ),
            )
        ],
    )


def suite(
    numeric_features: Sequence[str],
    categorical_features: Sequence[str] = (),
    *,
    may_be_constant: Collection[str] = (),
    recall_floor: float = 0.1,
) -> gx.ExpectationSuite:
    """Rules over `frame`: grain, labels, enough snapshots, usable features, candidates worth ranking."""
    import great_expectations as gx
    import great_expectations.expectations as gxe

    rarest, commonest = POSITIVE_RATE
    return gx.ExpectationSuite(
        name="training_data",
        expectations=[
            _some_examples(),
            *(
                gxe.ExpectColumnValuesToNotBeNull(
                    column=column,
                    **stop(
                        f"a value of {column} in every example",
                        why="an example without it belongs to nobody or teaches nothing",
                        remedy="look at the join that brings it into `candidates`",
                    ),
                )
                for column in (*GRAIN, "label")
            ),
            gxe.ExpectCompoundColumnsToBeUnique(
                column_list=list(GRAIN),
                **stop(
                    "one example per as_of, person, platform and item",
                    why="a repeated example counts twice in the loss and, split over sets, leaks the answer",
                    remedy="find the join in `candidates` or `training_examples` whose right side repeats its key",
                ),
            ),
            gxe.ExpectColumnValuesToBeInSet(
                column="label",
                value_set=[0, 1],
                **stop(
                    "labels of 0 or 1",
                    why="log loss is defined for these alone",
                    remedy="look at the label's expression in `training_examples`",
                ),
            ),
            gxe.ExpectColumnMeanToBeBetween(
                column="label",
                min_value=rarest,
                max_value=commonest,
                **stop(
                    f"between {rarest:.2%} and {commonest:.0%} positive examples",
                    why="fewer and there is nothing to learn; more and the labels leak or the negatives are gone",
                    remedy="compare `interactions` of the horizon with `candidates` of the snapshot",
                ),
            ),
            # a sum is finite only if each of its values is; asking each value takes seconds for every feature
            *(
                gxe.ExpectColumnSumToBeBetween(
                    column=feature,
                    min_value=-LARGEST,
                    max_value=LARGEST,
                    **stop(
                        f"finite values (or none) in feature {feature}",
                        why="one infinite or undefined number makes every weight of the model undefined",
                        remedy="look for a division by zero or a log of zero in its expression in `candidates`",
                    ),
                )
                for feature in numeric_features
            ),
            gxe.ExpectColumnUniqueValueCountToBeBetween(
                column="as_of",
                min_value=2,
                **stop(
                    "examples of at least two snapshots",
                    why="the newest is held out, so nothing is left to train on",
                    remedy="see whether older snapshots of `candidates` and `training_examples` are there, and whether anybody with "
                    "two events before them had a positive interaction after them (`candidate_pairs`)",
                ),
            ),
            gxe.ExpectColumnUniqueValueCountToBeBetween(
                column="as_of",
                min_value=3,
                **warn(
                    "examples of at least three snapshots",
                    why="the newest is held out, and one snapshot to train on teaches that week's fashion",
                    remedy="nothing in the first weeks; later see whether older snapshots of `candidates` are there, and whether "
                    "CROSSREC_TRAINING_SNAPSHOTS is 2 or more",
                ),
            ),
            gxe.ExpectColumnMinToBeBetween(
                column="candidate_recall",
                min_value=recall_floor,
                **warn(
                    f"at least {recall_floor:.0%} of what people chose among their candidates",
                    why="the model can only rank what the candidate generators bring it",
                    remedy="compare the recall of each generator; one of them may have gone empty",
                ),
            ),
            *(
                gxe.ExpectColumnUniqueValueCountToBeBetween(
                    column=feature,
                    min_value=2,
                    **warn(
                        f"more than one value of feature {feature}",
                        why="a constant feature teaches nothing and often means a join that no longer matches",
                        remedy="look at its source columns; declare it `may_be_constant` if it is meant to be",
                    ),
                )
                for feature in (*numeric_features, *categorical_features)
                if feature not in may_be_constant
            ),
        ],
    )


def _some_examples() -> gx.expectations.ExpectTableRowCountToBeBetween:
    import great_expectations.expectations as gxe

    return gxe.ExpectTableRowCountToBeBetween(
        min_value=1,
        **stop(
            "at least one training example",
            why="no snapshot has labels: the model would be random",
            remedy="see whether `marts.candidates` has a snapshot older than CROSSREC_HORIZON_DAYS, and whether "
            "`marts.interactions` has rows after it",
        ),
    )
