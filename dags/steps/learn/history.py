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
    [bounds] = query(night.settings, BOUNDS).to_pylist()
    first_day, cut, held_out = bounds["first_day"], bounds["cut"], bounds["held_out"]
    history_by = bounds["second_day"] or night.as_of  # a second event that is not known yet is not known before tonight
    if first_day is None or bounds["teaches"] or (history_by < cut and not bounds["held_out_teaches"]):
        return None
    first_night = first_night_to_learn(
        cut if bounds["held_out_teaches"] else max(history_by, held_out),
        cut,
        every=night.settings.snapshot_every_days,
        horizon=night.settings.horizon_days,
    )
    return ShortHistory((night.as_of - first_day).days, (first_night - first_day).days, first_night)


BOUNDS = """
with events as (
    select
        cast(min(greatest(occurred_at, known_at)) as date) as day,
        row_number() over (partition by person_id order by day) as number
    from marts.interactions
    group by person_id, platform, event_id
),
teaching as (
    select distinct as_of, role from marts.snapshots semi join marts.candidate_pairs using (as_of)
)
select
    (select min(day) from events) as first_day,
    (select min(day) from events where number = 2) as second_day,
    (select max(as_of) from marts.snapshots where role = 'training') as cut,
    (select as_of from marts.snapshots where role = 'evaluation') as held_out,
    exists(from teaching where role = 'training') as teaches,
    exists(from teaching where role = 'evaluation') as held_out_teaches
"""


def first_night_to_learn(first_day: date, cut: date, *, every: int, horizon: int) -> date:
    """The night by which the first cut after ``first_day`` can be trained on and the one after it held out.

    ``cut`` is any cut not after ``first_day``; cuts lie ``every`` days apart, and ``horizon`` days later a cut has labels.
    """
    first_cut = cut + timedelta(every * ((first_day - cut).days // every + 1))
    return first_cut + timedelta(every + horizon)
