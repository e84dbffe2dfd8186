"""Hyper-parameter search: how well would the ranker have ranked the newest training snapshot with other parameters?

Optuna's TPE sampler proposes them (Bergstra et al. 2011; Watanabe 2023, arXiv 2304.11127). Its study lives in memory only.
"""

import json
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
    """One set of parameters. `ndcg_at_10` is None where training diverged."""

    number: int
    params: TrainingParams
    ndcg_at_10: float | None
    seconds: float


@dataclass(frozen=True)
class Gain:
    """NDCG@10 of the best trial minus that of the first: the value and its paired 95% interval over persons.

    The best trial was chosen among many on this same snapshot. So its gain is too high, and the interval does not know that.
    """

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Tuned:
    """All trials in order. The first has the parameters that nights use.

    `importances` says how much each parameter decides whether a trial is among the best (PED-ANOVA, Watanabe et al. 2023,
    arXiv 2304.10255). They sum to one. There are none after a single trial.
    """

    trials: tuple[Trial, ...]
    best: Trial
    gain: Gain
    importances: dict[str, float]


def search_space(serving: TrainingParams) -> dict[str, BaseDistribution]:
    """The range of each parameter by its name, numbers on a logarithmic scale. It always holds the values of `serving`."""
    hidden = [json.dumps(units) for units in sorted(HIDDEN | {serving.hidden})]  # Optuna accepts no tuple as a choice
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
    """The older snapshots of `examples`, which train a model, and the newest, which judges it."""

    def __init__(self, examples: pa.Table, spec: FeatureSpec) -> None:
        snapshots = pc.unique(examples["as_of"]).sort()
        if len(snapshots) < 2:
            raise ValueError(
                "tuning needs examples of two training snapshots or more: the newest judges what the older ones teach. "
                f"Received: {examples.num_rows:,} examples of {len(snapshots)} snapshots"
            )
        self.spec = spec
        self.older = examples.filter(pc.less(examples["as_of"], snapshots[-1]))
        self.newest = examples.filter(pc.equal(examples["as_of"], snapshots[-1]))
        pairs = self.newest.group_by(["person_id", "platform"], use_threads=False)
        self.relevant = pairs.aggregate([("label", "sum")]).rename_columns(["person_id", "platform", "relevant"])
        self.lists = Lists.from_table(self.relevant)

    def scored(self, params: TrainingParams) -> pa.Table:
        """The newest snapshot, with the scores of a model that was trained with these parameters."""
        scores = score(train(self.older, None, self.spec, params).model, self.spec, self.newest)
        columns = ["person_id", "platform", "item_id", "label"]
        return self.newest.select(columns).append_column("score", pa.array(scores))

    def ndcg(self, scored: pa.Table) -> float:
        """Mean NDCG@10 over the lists that hold a positive."""
        return float(by_list(ranked(scored, self.lists), self.lists)[METRIC].mean())

    def gain(self, best: pa.Table, first: pa.Table, seed: int) -> Gain:
        """Of the best trial over the first, both as `scored` gives them."""
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


class _Search:
    """Trials one after the other. The first has the parameters `serving`."""

    def __init__(self, validation: _Validation, serving: TrainingParams) -> None:
        self.validation, self.serving, self.space = validation, serving, search_space(serving)
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self.study = optuna.create_study(direction="maximize", sampler=optuna.samplers.TPESampler(seed=serving.seed))
        first = {name: getattr(serving, name) for name in RANGES}
        self.study.enqueue_trial(first | {"hidden": json.dumps(serving.hidden)})

    def trial(self, number: int) -> tuple[Trial, pa.Table | None]:
        """The next trial, and the newest snapshot with its scores. There are none where training diverged.

        Raises:
            ValueError: in the first trial, where nothing can be learned from the examples.
        """
        started, asked = time.monotonic(), self.study.ask(self.space)
        params = replace(self.serving, **asked.params | {"hidden": tuple(json.loads(asked.params["hidden"]))})
        try:
            scored = self.validation.scored(params)
        except ValueError:
            if number == 1:
                raise
            # the first trial learned from these examples, so the parameters are at fault: training diverged
            self.study.tell(asked, state=TrialState.FAIL)
            return Trial(number, params, None, time.monotonic() - started), None
        ndcg = self.validation.ndcg(scored)
        self.study.tell(asked, ndcg)
        return Trial(number, params, ndcg, time.monotonic() - started), scored

    def importances(self) -> dict[str, float]:
        completed = self.study.get_trials(states=[TrialState.COMPLETE])
        return optuna.importance.get_param_importances(self.study) if len(completed) > 1 else {}


def tune(
    examples: pa.Table,
    spec: FeatureSpec,
    serving: TrainingParams,
    trials: int,
    seconds: float = float("inf"),
    on_trial: Callable[[Trial, Trial], None] = lambda trial, best: None,
) -> Tuned:
    """Searches the parameters with which a model of the older snapshots ranks the newest one best.

    The first trial has the parameters `serving`, so the best trial is never worse. Loss and seed stay as they are. The same
    examples, `serving` and number of TensorFlow threads give the same trials, up to the last one that time allows.

    Args:
        examples: those of `training.train`, with `item_id` and at least two values of `as_of`.
        spec: their features.
        serving: the parameters that nights use now.
        trials: at most so many.
        seconds: after these no further trial starts.
        on_trial: is called with each trial and the best so far.

    Raises:
        ValueError: there are fewer than two snapshots, or nothing can be learned with `serving`.
    """
    began = time.monotonic()
    validation = _Validation(examples, spec)
    search = _Search(validation, serving)
    best, of_first = search.trial(1)
    done, of_best = [best], of_first
    on_trial(best, best)
    while len(done) < trials and time.monotonic() - began < seconds:
        trial, scored = search.trial(len(done) + 1)
        done.append(trial)
        if (trial.ndcg_at_10 or 0.0) > (best.ndcg_at_10 or 0.0):
            best, of_best = trial, scored
        on_trial(trial, best)
    return Tuned(tuple(done), best, validation.gain(of_best, of_first, serving.seed), search.importances())
