"""Is there enough history for a model to learn from?"""

from dataclasses import dataclass
from datetime import date, timedelta

from dags.steps.night import Night
from infra.mlflow.registry import Registry
from infra.warehouse import query


@dataclass(frozen=True)
class ShortHistory:
    """How many days of events there are, how many it takes, and the first night that will have them."""

    days: int
    days_needed: int
    first_night: date


def too_short_history(night: Night) -> ShortHistory | None:
    """Where no model serves and none can be trained yet: what is missing. None for every other night.

    A cut teaches by those who have a history of two events when it is made and take something after it, and one that teaches is held
    out. Where a cut before that one had both, or nobody with a history took anything for so long, and there are no
    examples all the same, the data is broken, and that is the gate's to say.
    """
    if Registry(night.settings).champion() is not None:
        return None
    [bounds] = query(night.settings, "from marts.history_bounds").to_pylist()
    first_day, cut, held_out = bounds["first_day"], bounds["newest_training"], bounds["evaluation"]
    history_by = bounds["second_day"] or night.as_of  # a second event that is not known yet is not known before tonight
    if first_day is None or bounds["training_has_pairs"] or (history_by < cut and not bounds["evaluation_has_pairs"]):
        return None
    first_night = first_night_to_learn(
        cut if bounds["evaluation_has_pairs"] else max(history_by, held_out),
        cut,
        every=night.settings.snapshot_every_days,
        horizon=night.settings.horizon_days,
    )
    return ShortHistory((night.as_of - first_day).days, (first_night - first_day).days, first_night)


def first_night_to_learn(first_day: date, cut: date, *, every: int, horizon: int) -> date:
    """The night by which the first cut after ``first_day`` can be trained on and the one after it held out.

    ``cut`` is any cut not after ``first_day``; cuts lie ``every`` days apart, and ``horizon`` days later a cut has labels.
    """
    first_cut = cut + timedelta(every * ((first_day - cut).days // every + 1))
    return first_cut + timedelta(every + horizon)
