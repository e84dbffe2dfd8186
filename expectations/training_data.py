"""Gate `training_data`: what the examples must look like before a model learns from them."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import date
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from expectations.gate import stop, warn

if TYPE_CHECKING:
    import great_expectations as gx

GRAIN = ("as_of", "person_id", "platform", "item_id")
POSITIVE_RATE = (0.0005, 0.5)


def frame(examples: pa.Table, *, candidate_recall: float) -> pa.Table:
    """The frame that `suite` checks: key and label of the training examples and, on every row, the candidates' recall.

    ``examples`` has as_of, person_id, platform, item_id and label. ``candidate_recall`` is the share (0..1) of what people really
    chose in the horizon that was among their candidates.
    """
    recall = pa.repeat(pa.scalar(candidate_recall, pa.float64()), examples.num_rows)
    return examples.select([*GRAIN, "label"]).append_column("candidate_recall", recall)


def frame_of_features(
    examples: pa.Table, numeric: Sequence[str], categorical: Sequence[str], *, may_be_constant: Collection[str] = ()
) -> pa.Table:
    """The frame that `suite_of_features` checks, one row per feature.

    ``not_finite`` counts examples whose number is infinite or not a number, and is null where the examples have no such column, or
    one of texts for a number; ``values`` counts its values other than null, and is null where it may be constant.
    """
    features = [name for name in (*numeric, *categorical) if name in examples.column_names]
    not_finite = {name: _not_finite(examples[name]) if name in numeric else 0 for name in features}
    values = {name: pc.count_distinct(examples[name]).as_py() for name in features if name not in may_be_constant}
    names = [*numeric, *categorical]
    return pa.table(
        {
            "feature": pa.array(names, pa.string()),
            "not_finite": pa.array([not_finite.get(name) for name in names], pa.int64()),
            "values": pa.array([values.get(name) for name in names], pa.int64()),
        }
    )


def _not_finite(column: pa.ChunkedArray) -> int | None:
    if pa.types.is_null(column.type):
        return 0
    if not (pa.types.is_primitive(column.type) or pa.types.is_decimal(column.type)) or pa.types.is_temporal(
        column.type
    ):
        return None
    numbers = pc.fill_null(column.cast(pa.float64()), 0)
    return int(pc.sum(pc.invert(pc.is_finite(numbers))).as_py() or 0)


def suite_of_features() -> gx.ExpectationSuite:
    """Rules over `frame_of_features`: each declared feature is there, is finite, and has more than one value."""
    import great_expectations as gx
    import great_expectations.expectations as gxe

    return gx.ExpectationSuite(
        name="features_of_examples",
        meta={"named_by": "feature"},
        expectations=[
            gxe.ExpectColumnValuesToNotBeNull(
                column="not_finite",
                **stop(
                    "a column for each declared feature, of numbers where it is numeric",
                    why="a model cannot learn from a column that is not there, nor compute with texts",
                    remedy="select it in `candidates.sql` and cast it there, or take it out of `candidates.yml`",
                ),
            ),
            gxe.ExpectColumnValuesToBeInSet(
                column="not_finite",
                value_set=[0],
                **stop(
                    "finite values (or none) in each feature",
                    why="one infinite or undefined number makes every weight of the model undefined",
                    remedy="look for a division by zero or a log of zero in its expression in `candidates`",
                ),
            ),
            gxe.ExpectColumnValuesToBeBetween(
                column="values",
                min_value=2,
                **warn(
                    "more than one value of each feature",
                    why="a constant feature teaches nothing and often means a join that no longer matches",
                    remedy="look at its source columns; declare it `may_be_constant` if it is meant to be",
                ),
            ),
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


def suite(*, recall_floor: float = 0.1) -> gx.ExpectationSuite:
    """Rules over `frame`: grain, labels, enough snapshots, candidates worth ranking."""
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
