"""Whether a challenger replaces the champion."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

import pyarrow as pa
import pyarrow.compute as pc

from ml.evaluation.comparison import ALL

METRIC, TITLE = "ndcg_at_10", "NDCG@10"
MARGIN = 0.05
# Most lists score 0. The mean of fewer people depends on a handful of hits, and its percentile interval is too short. Platforms
# are few, and none may get worse, so fewer people are enough for a platform.
LARGE_COHORT, LARGE_PLATFORM = 100, 30


@dataclass(frozen=True)
class Decision:
    """What to do with the challenger, and why, in words for the report."""

    promote: bool
    reasons: list[str]


@dataclass(frozen=True)
class _Measured:
    platform: str
    cohort: str
    value: float
    low: float
    high: float
    people: int

    @property
    def scope(self) -> str:
        return self.platform if self.cohort == ALL else f"cohort {self.cohort}"

    def __str__(self) -> str:
        return f"{self.value:+.4f} [{self.low:+.4f}, {self.high:+.4f}]"


def _measured(comparison: pa.Table, contender: str, against: str | None, metric: str = METRIC) -> list[_Measured]:
    """A contender's values (or differences to an opponent) overall, on each platform, then in each cohort."""
    opponent = pc.is_null(pc.field("against")) if against is None else pc.field("against") == against
    rows = comparison.filter((pc.field("contender") == contender) & (pc.field("metric") == metric) & opponent)
    fields = ("platform", "cohort", "value", "low", "high", "people")
    found = [_Measured(**{name: row[name] for name in fields}) for row in rows.to_pylist()]
    if ALL not in [measured.scope for measured in found]:
        raise ValueError(
            f"the comparison has no overall {metric} of '{contender}'"
            + (f" against '{against}'" if against else "")
            + f". Contenders in it: {pc.unique(comparison['contender']).to_pylist()}"
        )
    return sorted(found, key=lambda each: (each.cohort != ALL, each.cohort, each.platform != ALL, each.platform))


def decide(
    comparison: pa.Table,
    challenger: str,
    champion: str | None,
    baselines: Sequence[str] = (),
    margin: float = MARGIN,
) -> Decision:
    """Non-inferiority on the paired NDCG@10 differences of `compare`.

    A challenger with finite metrics is promoted where there is no champion. Otherwise both of these must hold for its
    difference to the champion:

    1. Overall, the lower end of the interval is not below minus `margin` times the champion's value. This is the usual test
       of non-inferiority (Piaggio et al. 2012).
    2. The upper end of the interval is not below zero: overall, on any platform of at least `LARGE_PLATFORM` people, and in
       any cohort of at least `LARGE_COHORT` people. So neither many small losses nor one group's large loss pass.

    A challenger with a metric of 0 is not promoted over a champion, because nothing was judged. Baselines never decide. The
    reasons warn about a challenger that does not beat one.

    With intervals of 95%, a challenger that is truly worse by the margin is promoted in at most 2.5% of comparisons (one
    tail), and one that is truly equal is called better in at most 2.5%. The tests of rule 2 are not corrected for their
    number. Each of them keeps 2.5% of the truly equal challengers waiting, which favours the champion.
    """
    notes = [_against_baseline(comparison, challenger, baseline) for baseline in baselines]
    own = comparison.filter((pc.field("contender") == challenger) & pc.is_null(pc.field("against")))
    overall = _measured(comparison, challenger, None)[0]
    broken = sorted({row["metric"] for row in own.to_pylist() if not math.isfinite(row["value"])})
    if broken:
        return Decision(False, [f"keep: the challenger's {', '.join(broken)} is not finite", *notes])
    if champion is None:
        return Decision(True, [f"promote: there is no champion yet, and {TITLE} is {overall.value:.4f}", *notes])

    if not overall.value:
        return Decision(
            False, [f"keep: the challenger's {TITLE} is 0: it found none of the positive interactions", *notes]
        )
    overall, *parts = _measured(comparison, challenger, champion)
    allowed = -margin * _measured(comparison, champion, None)[0].value
    against = []
    if overall.low < allowed:
        against.append(
            f"keep: overall {TITLE} against the champion is {overall}, and its lower end is below the margin of "
            f"{allowed:+.4f} ({margin:.0%} of the champion's)"
        )
    against += [
        f"keep: on {part.scope} the challenger is significantly worse: {TITLE} {part}"
        for part in (overall, *parts)
        if part.high < 0
        and (part is overall or part.people >= (LARGE_PLATFORM if part.cohort == ALL else LARGE_COHORT))
    ]
    if against:
        return Decision(False, [*against, *notes])
    better = "better than" if overall.low > 0 else "not worse than"
    return Decision(True, [f"promote: {better} the champion, overall {TITLE} {overall}", *notes])


def keep_newer_champion(decision: Decision, as_of: date, champion_as_of: date) -> Decision:
    """A night of the past does not replace a champion that learned from a newer night."""
    if not decision.promote or as_of >= champion_as_of:
        return decision
    return Decision(False, [f"keep: the champion learned from a newer night ({champion_as_of})", *decision.reasons])


def wait_for_person(decision: Decision, version: int) -> Decision:
    """A better challenger does not replace the champion until a person promotes it."""
    if not decision.promote:
        return decision
    return Decision(False, [*decision.reasons, f"waits for a person: version {version} may be promoted in MLflow"])


def _against_baseline(comparison: pa.Table, challenger: str, baseline: str) -> str:
    difference = _measured(comparison, challenger, baseline)[0]
    if difference.low > 0:
        return f"beats {baseline}: {TITLE} {difference}"
    verdict = "loses to" if difference.high < 0 else "does not clearly beat"
    return f"warning: {verdict} {baseline}: {TITLE} {difference}"
