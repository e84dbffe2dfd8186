"""Hyper-parameter search: how well the ranker would have ranked the newest training snapshot, had it had others.

Optuna's TPE sampler proposes them (Bergstra et al. 2011; Watanabe 2023, arXiv 2304.11127). Its study is in memory alone.
"""

import json
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import optuna
import pyarrow as pa
import pyarrow.compute as pc
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import TrialState

from ml.evaluation.comparison import ALL, Contender, compare
from ml.evaluation.metrics import Lists, by_list, ranked
from ml.evaluation.promotion import METRIC
from ml.ranking.network.features import FeatureSpec
from ml.ranking.network.scoring import score
from ml.ranking.training import TrainingParams, train

RANGES: dict[str, tuple[float, float]] = {
    "epochs": (1, 8),
    "batch_size": (512, 8192),
    "embedding_dim": (2, 32),
    "deep_learning_rate": (0.002, 0.2),
    "wide_learning_rate": (0.005, 0.5),
    "wide_l1": (0.05, 20.0),
    "embedding_l2": (0.0001, 0.1),
}
HIDDEN = {(32,), (64, 32), (128, 64), (128, 64, 32), (256, 128, 64)}


@dataclass(frozen=True)
class Trial:
    """One set of parameters; `ndcg_at_10` is None where training diverged."""

    number: int
    params: TrainingParams
    ndcg_at_10: float | None
    seconds: float


@dataclass(frozen=True)
class Gain:
    """NDCG@10 of the best trial less that of the first: the value and its paired 95% interval over persons.

    The best of many is flattered by having been chosen on this very snapshot, and the interval does not know it.
    """

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Tuned:
    """All trials in order, the first with the parameters that serve.

    `importances` says how much each parameter decides whether a trial is among the best, and sums to one (PED-ANOVA,
    Watanabe et al. 2023, arXiv 2304.10255); empty after a single trial.
    """

    trials: tuple[Trial, ...]
    best: Trial
    gain: Gain
    importances: dict[str, float]


def search_space(serving: TrainingParams) -> dict[str, BaseDistribution]:
    """What is searched, by name of the parameter: numbers on a logarithmic scale. It always holds what serves."""
    hidden = [json.dumps(units) for units in sorted(HIDDEN | {serving.hidden})]  # Optuna takes no tuple for a choice
    space: dict[str, BaseDistribution] = {"hidden": CategoricalDistribution(hidden)}
    for name, (low, high) in RANGES.items():
        now = getattr(serving, name)
        low, high = min(low, now), max(high, now)
        if isinstance(now, int):
            space[name] = IntDistribution(int(low), int(high), log=True)
        else:
            space[name] = FloatDistribution(low, high, log=True)
    return space


class _Validation:
    """The newest snapshot of `examples` as a model of the older ones is judged on it."""

    def __init__(self, examples: pa.Table, spec: FeatureSpec) -> None:
        cuts = pc.unique(examples["as_of"]).sort()
        if len(cuts) < 2:
            raise ValueError(
                "tuning needs examples of two training snapshots or more: the newest judges what the older ones teach. "
                f"Received: {examples.num_rows:,} examples of {len(cuts)} snapshots"
            )
        self.spec = spec
        self.older = examples.filter(pc.less(examples["as_of"], cuts[-1]))
        self.newest = examples.filter(pc.equal(examples["as_of"], cuts[-1]))
        pairs = self.newest.group_by(["person_id", "platform"], use_threads=False)
        self.relevant = pairs.aggregate([("label", "sum")]).rename_columns(["person_id", "platform", "relevant"])
        self.lists = Lists.from_table(self.relevant)

    def scored(self, params: TrainingParams) -> pa.Table:
        """The newest snapshot with the scores of a model that these parameters train."""
        scores = score(train(self.older, None, self.spec, params).model, self.spec, self.newest)
        columns = ["person_id", "platform", "item_id", "label"]
        return self.newest.select(columns).append_column("score", pa.array(scores))

    def ndcg(self, scored: pa.Table) -> float:
        return float(by_list(ranked(scored, self.lists), self.lists)[METRIC].mean())

    def gain(self, best: pa.Table, first: pa.Table, seed: int) -> Gain:
        offered = self.newest.group_by("platform").aggregate([("item_id", "count_distinct")]).to_pylist()
        compared = compare(
            [Contender("best", best), Contender("first", first)],
            self.relevant,
            {row["platform"]: row["item_id_count_distinct"] for row in offered},
            seed=seed,
        )
        [row] = [
            row
            for row in compared.to_pylist()
            if (row["contender"], row["against"], row["platform"], row["metric"]) == ("best", "first", ALL, METRIC)
        ]
        return Gain(row["value"], row["low"], row["high"])


def tune(
    examples: pa.Table,
    spec: FeatureSpec,
    serving: TrainingParams,
    trials: int,
    seconds: float = float("inf"),
    on_trial: Callable[[Trial, Trial], None] = lambda trial, best: None,
) -> Tuned:
    """Search the parameters with which a model of the older snapshots ranks the newest one best.

    `examples` are those of `training.train`, with `item_id` and at least two values of `as_of`. The first trial is
    `serving`, so the best is never worse; loss and seed stay as they are. NDCG@10 is the mean over the lists that hold a
    positive. After `seconds` no further trial starts. `on_trial` hears of each trial and of the best so far. The same
    examples, `serving` and number of TensorFlow threads give the same trials, up to the last that time allows.
    Raises ValueError where there are fewer than two snapshots, or nothing can be learned with the parameters that serve.
    """
    began = time.monotonic()
    validation, space = _Validation(examples, spec), search_space(serving)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    logging.getLogger("tensorflow").setLevel(logging.ERROR)  # it takes a model for each trial for a mistake
    study = optuna.create_study(direction="maximize", sampler=optuna.samplers.TPESampler(seed=serving.seed))
    study.enqueue_trial({name: getattr(serving, name) for name in RANGES} | {"hidden": json.dumps(serving.hidden)})

    def tried(number: int) -> tuple[Trial, pa.Table | None]:
        started, asked = time.monotonic(), study.ask(space)
        params = replace(serving, **asked.params | {"hidden": tuple(json.loads(asked.params["hidden"]))})
        try:
            scored = validation.scored(params)
        except ValueError:
            if number == 1:
                raise
            # the first trial learned from these examples, so it is the parameters: training diverged
            study.tell(asked, state=TrialState.FAIL)
            return Trial(number, params, None, time.monotonic() - started), None
        ndcg = validation.ndcg(scored)
        study.tell(asked, ndcg)
        return Trial(number, params, ndcg, time.monotonic() - started), scored

    best, of_first = tried(1)
    done, of_best = [best], of_first
    on_trial(best, best)
    while len(done) < trials and time.monotonic() - began < seconds:
        trial, scored = tried(len(done) + 1)
        done.append(trial)
        if (trial.ndcg_at_10 or 0.0) > (best.ndcg_at_10 or 0.0):
            best, of_best = trial, scored
        on_trial(trial, best)
    completed = study.get_trials(states=[TrialState.COMPLETE])
    importances = optuna.importance.get_param_importances(study) if len(completed) > 1 else {}
    return Tuned(tuple(done), best, validation.gain(of_best, of_first, serving.seed), importances)
