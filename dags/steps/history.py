"""Is there enough history for a model to learn from?"""

from dataclasses import dataclass
from datetime import date, timedelta

from dags.steps.night import Night
from infra.registry import Registry
from infra.warehouse import query


@dataclass(frozen=True)
class ShortHistory:
    """How many days of events there are, how many it takes, and the first night that will have them."""

    days: int
    days_needed: int
    first_night: date


def too_short_history(night: Night) -> ShortHistory | None:
    """Where no model serves and none can be trained yet: what is missing. None for every other night.

    The newest cut to train on needs events known before it. Where it has them and there are no examples all the same,
    the data is broken, and that is the gate's to say.
    """
    [bounds] = query(
        night.settings,
        """
        select
            (select cast(min(greatest(occurred_at, known_at)) as date) from marts.interactions) as first_day,
            (select max(as_of) from marts.snapshots where role = 'training') as cut
        """,
    ).to_pylist()
    first_day, cut = bounds["first_day"], bounds["cut"]
    if first_day is None or first_day < cut or Registry(night.settings).champion() is not None:
        return None
    first_night = first_night_to_learn(
        first_day, cut, every=night.settings.snapshot_every_days, horizon=night.settings.horizon_days
    )
    return ShortHistory((night.as_of - first_day).days, (first_night - first_day).days, first_night)


def first_night_to_learn(first_day: date, cut: date, *, every: int, horizon: int) -> date:
    """The night by which the first cut after ``first_day`` can be trained on and the one after it held out.

    ``cut`` is any cut not after ``first_day``; cuts lie ``every`` days apart, and ``horizon`` days later a cut has labels.
    """
    first_cut = cut + timedelta(every * ((first_day - cut).days // every + 1))
    return first_cut + timedelta(every + horizon)
