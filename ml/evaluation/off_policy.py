"""What another way to choose would have been worth, from what people did with choices that were drawn at random.

A log has one row per choice: the reward that the shown item brought, and the probability with which the policy that drew
it (the logging policy) showed that item. The target policy is the one to be valued, of which the log needs to know only
the probability with which it would have shown that same item. Estimates hold where the logging policy might show all that
the target policy might, and where rows are drawn independently of each other.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from ml.arrays import Floats, sorted_codes

Z = 1.959963984540054  # a normal variable is within -Z and Z in 95 of 100 cases


@dataclass(frozen=True)
class Estimate:
    """A policy's mean reward with its normal 95% interval.

    `effective_sample_size` is how many choices of the target policy itself would tell as much (Kish 1965): the squared
    sum of the weights over the sum of their squares. Everything is NaN, and that size 0, where nothing can be told.
    """

    value: float
    low: float
    high: float
    effective_sample_size: float


def ips(reward: Floats, logging: Floats, target: Floats) -> Estimate:
    """Inverse propensity score (Horvitz & Thompson 1952): the mean of weight * reward, weight = target / logging.

    Unbiased; wide where weights are large. With target = logging it is the mean reward of what was shown.

    `reward`: any finite number; `logging`: in (0, 1]; `target`: in [0, 1]; all float64, one row per choice.

    Raises:
        ValueError: an array is of another length, or holds what is not allowed in it.
    """
    weight = _weights(reward, logging, target)
    return _mean(weight * reward, weight)


def snips(reward: Floats, logging: Floats, target: Floats) -> Estimate:
    """Self-normalised IPS (Swaminathan & Joachims 2015): the weighted mean of the rewards, within their range.

    Biased by the order of 1 / rows, mostly narrower than `ips`. The interval is the delta method's (Owen 2013, eq. 9.9).
    Arguments and errors are those of `ips`.
    """
    weight = _weights(reward, logging, target)
    if not weight.any():
        return Estimate(float("nan"), float("nan"), float("nan"), 0.0)
    value = float(np.average(reward, weights=weight))
    return _mean(value + weight * (reward - value) / weight.mean(), weight)


def doubly_robust(reward: Floats, logging: Floats, target: Floats, predicted: Floats, expected: Floats) -> Estimate:
    """Doubly robust (Dudik et al. 2011, eq. 2.1): what a model expects of the target policy, corrected where it was wrong.

    The mean of expected + weight * (reward - predicted). `predicted` is the model's reward of the shown item, `expected`
    its mean reward under the target policy. Unbiased whatever the model, if that learned nothing from this log; the better
    the model, the narrower. Other arguments, and errors, are those of `ips`.
    """
    weight = _weights(reward, logging, target, predicted, expected)
    return _mean(expected + weight * (reward - predicted), weight)


def _mean(terms: Floats, weight: Floats) -> Estimate:
    value = float(terms.mean())
    error = Z * float(terms.std(ddof=1)) / float(np.sqrt(len(terms))) if len(terms) > 1 else float("nan")
    squares = float(np.square(weight).sum())
    return Estimate(value, value - error, value + error, float(weight.sum() ** 2 / squares) if squares else 0.0)


def _weights(reward: Floats, logging: Floats, target: Floats, *others: Floats) -> Floats:
    arrays: list[npt.NDArray[np.float64]] = [reward, logging, target, *others]
    lengths = {len(values) for values in arrays}
    if len(lengths) > 1 or lengths == {0}:
        raise ValueError(f"a log has one row per choice and at least one. Received: arrays of {sorted(lengths)} rows.")
    if wrong := sum(int(np.count_nonzero(~np.isfinite(values))) for values in arrays):
        raise ValueError(f"{wrong:,} of the {len(reward):,} choices' numbers are NaN or infinite")
    if wrong := int(np.count_nonzero((logging <= 0) | (logging > 1))):
        raise ValueError(f"{wrong:,} of {len(logging):,} logging propensities are not above 0 and up to 1")
    if wrong := int(np.count_nonzero((target < 0) | (target > 1))):
        raise ValueError(f"{wrong:,} of {len(target):,} target propensities are not from 0 to 1")
    weight: Floats = target / logging
    return weight


def value_of_best(logged: pa.Table, predicted: Floats) -> dict[str, Estimate]:
    """What it would be worth to show, in each list, the candidate of which the most is predicted, by each estimator.

    `logged` has one row per list (person_id, platform) and candidate (item_id) that might have been shown there:
    propensity (double, adds up to 1 in a list), is_shown (bool, true for one row of a list) and reward (double, what the
    shown one brought, on all rows of the list). `predicted` is a model's reward of each row. Ties go to the smaller
    item_id. "logged" is the value of what was shown, by the same rewards.

    Raises:
        ValueError: not exactly one row of some list was shown, or see `ips`.
    """
    platform = sorted_codes(logged["platform"])
    lists = sorted_codes(logged["person_id"]) * (platform.max(initial=0) + 1) + platform
    order = np.lexsort((sorted_codes(logged["item_id"]), -predicted, lists))
    best = order[np.flatnonzero(np.diff(lists[order], prepend=-1))]
    shown = np.flatnonzero(logged["is_shown"].to_numpy(zero_copy_only=False))
    shown = shown[np.argsort(lists[shown], kind="stable")]
    if not np.array_equal(lists[best], lists[shown]):
        raise ValueError(f"one row of each list was shown. Received: {len(shown):,} shown in {len(best):,} lists.")
    reward, propensity = (logged[name].to_numpy()[shown] for name in ("reward", "propensity"))
    target = (best == shown).astype(np.float64)
    return {
        "logged": ips(reward, propensity, propensity),
        "ips": ips(reward, propensity, target),
        "snips": snips(reward, propensity, target),
        "doubly_robust": doubly_robust(reward, propensity, target, predicted[shown], predicted[best]),
    }


def rewarded(explorable: pa.Table, lists: pa.Table, accounts: pa.Table, rewards: pa.Table) -> pa.Table:
    """The candidates of each exploration slot, with the reward that the shown one brought.

    Of a person's accounts on a platform, which have the same list, the first by its id stands for all. Where that account is gone,
    nothing is known of its list, which is left out.

    Args:
        explorable: the candidates that the slot might have shown: ``person_id``, ``platform``, ``item_id``, ``is_shown`` and any other
            columns.
        lists: the published rows: ``person_id``, ``platform``, ``account_id``, ``item_id``, ``slot``, ``propensity``. Those with a
            propensity below 1 stand in an exploration slot.
        accounts: all accounts there are now: ``platform``, ``account_id``.
        rewards: what brought a reward: ``platform``, ``account_id``, ``item_id``.

    Returns:
        ``explorable`` with ``reward`` (1.0 or 0.0, the same on all rows of a list) and ``is_explored`` (whether the row was shown by
        exploration), in order of person_id, platform and item_id.
    """
    drawn = lists.filter(pc.less(lists["propensity"], 1))
    shown = drawn.group_by(["person_id", "platform", "item_id", "slot"]).aggregate([("account_id", "min")])
    shown = shown.rename_columns(["person_id", "platform", "item_id", "slot", "account_id"])
    shown = shown.join(accounts, ["platform", "account_id"], join_type="left semi")
    brought = rewards.select(["platform", "account_id", "item_id"]).append_column(
        "reward", pa.repeat(1.0, rewards.num_rows)
    )
    shown = shown.join(brought, ["platform", "account_id", "item_id"]).select(
        ["person_id", "platform", "slot", "reward"]
    )
    found = explorable.join(shown, ["person_id", "platform"], join_type="inner")
    explored = pc.and_(found["is_shown"], pc.equal(found["slot"], "explored"))
    reward = pc.fill_null(found["reward"], 0.0)
    found = (
        found.drop_columns(["slot", "reward"]).append_column("reward", reward).append_column("is_explored", explored)
    )
    return found.sort_by([(key, "ascending") for key in ("person_id", "platform", "item_id")])
