"""Step 8: challenger, champion and simple methods on the same held-out snapshot. The promotion gate decides by it."""

import logging
from datetime import date
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from dags.steps.learn.comparison_table import comparison_table
from dags.steps.learn.fingerprints import code_of, digest_of, fingerprint_of
from dags.steps.learn.held_out import held_out_of
from dags.steps.learn.history import too_short_history
from dags.steps.learn.off_policy import value_of_choices
from dags.steps.night import Night
from dags.steps.records import Comparison, Evaluation, JudgedVersion
from infra.mlflow.records import ModelVersion
from infra.mlflow.registry import Registry
from infra.report.facts import DiversityPrice, Metric, ObjectiveMetric, OffPolicy
from infra.settings import Settings
from ml.evaluation.breakdowns import by_objective, price_of_diversity
from ml.evaluation.comparison import CHALLENGER, CHAMPION, compare
from ml.evaluation.contenders import baselines, best_window, learned
from ml.evaluation.held_out import HeldOut
from ml.ranking.network.features import FeatureSpec
from ml.ranking.network.scoring import score

if TYPE_CHECKING:
    import keras

log = logging.getLogger(__name__)

Models = dict[str, "tuple[keras.Model, FeatureSpec]"]


def evaluate(night: Night) -> None:
    """Compare all contenders on the held-out snapshot, and leave the comparison for the promotion gate.

    A snapshot is held out for several nights. Where an earlier night compared the same versions on the same data, its
    comparison is used again.
    """
    if too_short_history(night):
        night.write(Evaluation())
        return
    registry, held_out = Registry(night.settings), held_out_of(night)
    challenger, champion = registry.challenger(), registry.champion()
    assert challenger is not None, "train ran before"
    evaluation = Evaluation(challenger=_judged(challenger), champion=_judged(champion), held_out=held_out.as_of)
    if held_out.relevant.num_rows:
        versions = {CHALLENGER: challenger}
        if champion is not None and champion.version != challenger.version:
            versions[CHAMPION] = champion
        fingerprint = evaluation_fingerprint(versions, held_out, night.settings)
        comparison = compared_before(night, fingerprint) or _compared(night, registry, versions, held_out)
        platforms = tuple(sorted({*held_out.relevant["platform"].to_pylist()}))
        found = {"fingerprint": fingerprint, "comparison": comparison, "platforms_judged": platforms}
        evaluation = evaluation.model_copy(update=found)
        registry.log_evaluation(challenger, comparison_table(comparison), night.as_of)
    night.write(evaluation)


def _judged(version: ModelVersion | None) -> JudgedVersion | None:
    if version is None:
        return None
    as_of = date.fromisoformat(version.tags["as_of"])
    return JudgedVersion(version=version.version, run_id=version.run_id, as_of=as_of)


def evaluation_fingerprint(versions: dict[str, ModelVersion], held_out: HeldOut, settings: Settings) -> str:
    """Identifies everything that a comparison is made of."""
    return fingerprint_of(
        *(f"{name} {version.uri}" for name, version in versions.items()),
        f"{settings.seed} {settings.list_size} {settings.max_per_category} {settings.diversity}",
        code_of("evaluation"),
        *(digest_of(table) for table in held_out.tables()),
    )


def compared_before(night: Night, fingerprint: str) -> Comparison | None:
    """What the newest night with this fingerprint found."""
    earlier = night.earlier_with(Evaluation, fingerprint)
    if earlier is None or earlier.comparison is None:
        return None
    same = earlier.comparison
    log.info(f"versions and held-out snapshot are those of the night of {same.compared_in}, and so is their comparison")
    return same


def _compared(night: Night, registry: Registry, versions: dict[str, ModelVersion], held_out: HeldOut) -> Comparison:
    """Compare the versions and all baselines, and find what their lists would be worth in other respects."""
    settings, popularity = night.settings, best_window(held_out)
    models = {name: _loaded(registry, version) for name, version in versions.items()}
    ranked = [learned(name, held_out, *model) for name, model in models.items()]
    contenders = [*ranked, *baselines(held_out, popularity, settings.seed)]
    metrics = compare(contenders, held_out.relevant, held_out.sizes, seed=settings.seed)
    diversity = price_of_diversity(
        ranked[0].scored,
        held_out,
        list_size=settings.list_size,
        max_per_category=settings.max_per_category,
        diversity=settings.diversity,
        seed=settings.seed,
    )
    objectives = by_objective(contenders, held_out, settings.seed)
    return Comparison(
        compared_in=night.as_of,
        popularity_window=popularity,
        metrics=tuple(Metric.model_validate(row) for row in metrics.to_pylist()),
        objectives=tuple(ObjectiveMetric.model_validate(row) for row in objectives),
        diversity=tuple(DiversityPrice.model_validate(row) for row in diversity),
        off_policy=_off_policy(held_out.choices, models),
    )


def _loaded(registry: Registry, version: ModelVersion) -> "tuple[keras.Model, FeatureSpec]":
    model, features = registry.load(version)
    return model, FeatureSpec.from_json(features)


def _off_policy(choices: pa.Table | None, models: Models) -> OffPolicy | None:
    """None where nothing was drawn at random that night, or where every model has features that were not known then."""
    if choices is None:
        return None
    predicted = {
        name: score(model, features, choices).astype(np.float64)
        for name, (model, features) in models.items()
        if {*features.columns} <= {*choices.column_names}
    }
    return value_of_choices(choices, predicted) if predicted else None
