"""Step 8: the promotion gate."""

import logging

from dags.steps.learn.comparison_table import comparison_table
from dags.steps.night import Night
from dags.steps.records import Evaluation, Promotion
from expectations.gate import promotion_gate
from ml.evaluation.comparison import CHALLENGER, CHAMPION
from ml.evaluation.promotion import Decision, decide, keep_newer_champion, wait_for_person

log = logging.getLogger(__name__)


def check_promotion(night: Night) -> None:
    """Decide by tonight's evaluation whether the challenger may serve. A challenger that may not warns, and stops nothing."""
    evaluation = night.read(Evaluation)
    decision = _decided(night, evaluation)
    reasons = [*decision.reasons]
    if evaluation.comparison is not None:
        unjudged = sorted({*night.platforms} - {*evaluation.platforms_judged})
        if unjudged:
            reasons.append(
                f"warning: nothing was judged on {', '.join(unjudged)}, without any positive interaction there"
            )
            log.warning(reasons[-1].removeprefix("warning: "))
    night.write(Promotion(promote=decision.promote, reasons=tuple(reasons)))
    if evaluation.challenger is not None:
        result = promotion_gate(decision.promote, reasons, as_of=night.as_of)
        night.write(result, result.key)
    log.info(reasons[0])


def _decided(night: Night, evaluation: Evaluation) -> Decision:
    challenger, champion = evaluation.challenger, evaluation.champion
    if challenger is None:
        return Decision(False, ["there is no model yet, for there is not enough history"])
    if evaluation.comparison is None:
        return Decision(
            False,
            [
                "keep: there is nothing to judge the challenger by: nobody with candidates had a new positive interaction in "
                f"the {night.settings.horizon_days} days from {evaluation.held_out}"
            ],
        )
    if champion is not None and champion.version == challenger.version:
        return Decision(True, [f"version {challenger.version} serves already; there was nothing new to learn"])
    table = comparison_table(evaluation.comparison)
    contenders = dict.fromkeys(table["contender"].to_pylist())
    baselines = [name for name in contenders if name not in (CHALLENGER, CHAMPION)]
    decision = decide(table, CHALLENGER, CHAMPION if champion else None, baselines)
    if champion is not None:
        decision = keep_newer_champion(decision, night.as_of, champion.as_of)
        decision = decision if night.settings.auto_promote else wait_for_person(decision, challenger.version)
    return decision
