"""Is there enough history for a model to learn from?"""

from dataclasses import dataclass
from datetime import date, timedelta

from dags.steps.night import Night
from infra.warehouse import query


@dataclass(frozen=True)
class ShortHistory:
    """How many days of events there are, how many a model needs, and the first night that will have them."""

    days: int
    days_needed: int
    first_night: date


def too_short_history(night: Night) -> ShortHistory | None:
    """What is missing, where no model serves and none can be trained yet. None for every other night.

    A snapshot has something to teach where a person had two events before it and a positive interaction after it. Training
    needs one such snapshot, and the next one to be held out.

    The answer is None too where a longer history gives no example at all. There the data is broken, and gate
    `training_data` says so: an earlier snapshot had both, or no person with a history had a positive interaction since.
    """
    from infra.mlflow.registry import Registry

    if Registry(night.settings).champion() is not None:
        return None
    [bounds] = query(night.settings, "from marts.history_bounds").to_pylist()
    first_day, training, held_out = bounds["first_day"], bounds["newest_training"], bounds["evaluation"]
    history_by = bounds["second_day"] or night.as_of  # a second event that is not known yet is not known before tonight
    teaches, held_out_teaches = bounds["training_has_pairs"], bounds["evaluation_has_pairs"]
    if first_day is None or teaches or (history_by < training and not held_out_teaches):
        return None
    first_night = first_night_to_learn(
        training if held_out_teaches else max(history_by, held_out),
        training,
        every=night.settings.snapshot_every_days,
        horizon=night.settings.horizon_days,
    )
    return ShortHistory((night.as_of - first_day).days, (first_night - first_day).days, first_night)


def first_night_to_learn(first_day: date, snapshot: date, *, every: int, horizon: int) -> date:
    """The first night for which a snapshot after ``first_day`` can be trained on and the next one be held out.

    ``snapshot`` is the as_of of any snapshot not after ``first_day``. Snapshots lie ``every`` days apart, and ``horizon``
    days later a snapshot has labels.
    """
    first = snapshot + timedelta(every * ((first_day - snapshot).days // every + 1))
    return first + timedelta(every + horizon)
