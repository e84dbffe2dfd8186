"""Hyper-parameter search: trials on a night's training snapshots, kept in MLflow. Nothing changes by itself."""

import json
import logging
import shlex
from dataclasses import asdict, replace
from datetime import date
from typing import Any

from dags.steps.learn.examples import examples_of, feature_spec, objectives_of, split
from dags.steps.learn.fingerprints import digest_of
from dags.steps.learn.train import params_of
from dags.steps.night import Night
from infra.mlflow.charts import param_importances, trial_history
from infra.mlflow.records import LoggedTrial
from infra.mlflow.registry import Registry
from infra.settings import Settings, TunedParams
from infra.warehouse import query
from ml.evaluation.promotion import METRIC
from ml.ranking.training import TrainingParams
from ml.ranking.tuning import Trial, Tuned
from ml.ranking.tuning import tune as search

log = logging.getLogger(__name__)


class TuningError(RuntimeError):
    """There is nothing to search on."""


def newest_built(settings: Settings) -> date:
    """The night whose examples the warehouse holds."""
    as_of: date = query(settings, "select as_of from marts.snapshots where role = 'scoring'")["as_of"][0].as_py()
    return as_of


def tune(night: Night, trials: int, minutes: float) -> Tuned:
    """Search for better hyper-parameters than those that serve, log every trial, and name the setting that uses the best.

    The held-out snapshot, which promotion is judged by, has no part in it.

    Raises:
        TuningError: The warehouse holds another night, or too few snapshots have examples.
    """
    if (built := newest_built(night.settings)) != night.as_of:
        raise TuningError(
            f"the warehouse holds the examples of the night of {built}. Received: {night.as_of}. "
            f"Remedy: tune on {built}, or run the night of {night.as_of} again first."
        )
    training, _ = split(examples_of(night))
    serving = replace(params_of(night), objectives=objectives_of(night, training))

    def log_trial(trial: Trial, best: Trial) -> None:
        found = "training diverged" if trial.ndcg_at_10 is None else f"NDCG@10 {trial.ndcg_at_10:.4f}"
        log.info(
            f"trial {trial.number} of {trials}: {found} after {trial.seconds:.0f} s"
            f" (best {best.ndcg_at_10:.4f}, trial {best.number})"
        )

    try:
        tuned = search(training, feature_spec(), serving, trials, minutes * 60, log_trial)
    except ValueError as error:
        raise TuningError(
            f"night of {night.as_of}: {error}. Remedy: tune on a later night, with CROSSREC_TRAINING_SNAPSHOTS of 2 or more."
        ) from error
    run = _log(night, tuned, digest_of(training))
    log.info(f"{len(tuned.trials)} trials are in MLflow: run 'tuning {night.as_of}' ({run})")
    log.info(verdict(tuned))
    return tuned


def verdict(tuned: Tuned) -> str:
    """What the search found, and the setting that uses it."""
    if tuned.best.number == 1:
        return f"none of {len(tuned.trials)} trials is better than the parameters that serve: there is nothing to set"
    gain = tuned.gain
    chance = ", which may be chance, for it was chosen among many" if gain.low <= 0 else ""
    return (
        f"trial {tuned.best.number} gains {gain.value:+.4f} NDCG@10 ({gain.low:+.4f} to {gain.high:+.4f}) over the parameters "
        f"that serve{chance}. Nothing changes by itself: nights train with it, and promotion judges it, where this is set:\n"
        f"CROSSREC_TRAINING_PARAMS={shlex.quote(json.dumps(_searched(tuned.best.params)))}"
    )


def _searched(params: TrainingParams) -> dict[str, Any]:
    """The parameters that the search chose, in the form of the setting."""
    return {name: value for name, value in asdict(params).items() if name in TunedParams.model_fields}


def _metrics(trial: Trial) -> dict[str, float]:
    return {"seconds": trial.seconds} | ({} if trial.ndcg_at_10 is None else {METRIC: trial.ndcg_at_10})


def _log(night: Night, tuned: Tuned, digest: str) -> str:
    trials, best = tuned.trials, tuned.best
    charts = {"trials": trial_history([trial.ndcg_at_10 for trial in trials], "NDCG@10")}
    if tuned.importances:
        charts["importances"] = param_importances(tuned.importances)
    return Registry(night.settings).log_tuning(
        [LoggedTrial(asdict(trial.params), _metrics(trial), trial.ndcg_at_10 is None) for trial in trials],
        _searched(best.params),
        charts,
        as_of=night.as_of,
        metrics=_metrics(best) | {"seconds": sum(trial.seconds for trial in trials), "gain": tuned.gain.value},
        tags={"run_id": night.run_id, "data_digest": digest, "best_trial": str(best.number), "loss": best.params.loss},
    )
