"""Score one shard of persons with the model that serves, and rank their lists."""

import logging
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from dags.steps.night import Night
from dags.steps.records import ServingModel
from infra.mlflow.records import RegistryError
from infra.mlflow.registry import Registry
from infra.warehouse import query, query_with_sequences
from ml.evaluation.snapshots import SERVED, serving_statistics
from ml.ranking.network.features import FeatureSpec
from ml.ranking.network.scoring import not_finite
from ml.ranking.network.scoring import score as score_candidates
from ml.ranking.rerank import Exploration, assign_slots
from ml.ranking.rules import check_rules
from ml.ranking.shards import explorable_rows, popular_rows, popular_to_rank, ranked_rows, to_rank
from ml.ranking.unseen import platforms_without_known_value

log = logging.getLogger(__name__)

OF_SHARD = "hash(person_id) % $shards = $shard"
CANDIDATES = "marts.serving_candidates left join sequences using (as_of, person_id, platform)"


class ServingRanker(NamedTuple):
    """The model that serves, and the features that it reads."""

    version: str
    model: Any
    spec: FeatureSpec


def score(night: Night, shard: int) -> None:
    """Score the candidates of one shard of persons and rank them, and rank the popular lists of its other accounts.

    Before the first model nothing is scored, and every account gets a popular list.

    Raises:
        ValueError: rules of seed list_rules contradict each other.
        RegistryError: the serving version cannot be loaded.
    """
    settings = night.settings
    check_rules(query(settings, "from marts.active_rules"), settings.list_size)
    ranker = serving_ranker(night)
    rules = settings.list_size, settings.max_per_category
    # before the candidates are read, which take most memory
    popular = assign_slots(popular_to_rank(_popular(night, shard, ranker), settings.max_impressions), *rules)
    candidates = _candidates(night, shard)
    if ranker is None:
        candidates = candidates.slice(0, 0)
    to_score = candidates.slice(0, pc.sum(candidates["is_candidate"]).as_py() or 0)  # a filter would copy them
    scores = np.empty(0, np.float32)
    if ranker is not None:
        scores = score_candidates(ranker.model, ranker.spec, to_score)
        warn_unseen_values(night, shard, to_score, ranker.spec)
    exploration = Exploration(settings.exploration, key=f"{settings.seed} {night.as_of}")
    placed = assign_slots(
        to_rank(candidates, scores, settings.max_impressions), *rules, settings.diversity, exploration
    )
    ranked = pa.concat_tables([ranked_rows(placed, ranker.version if ranker else None), popular_rows(popular)])
    night.write_table(night.key(f"scored/shard={shard}.parquet"), _counted(candidates))
    night.write_table(night.key(f"features/shard={shard}.parquet"), _statistics(to_score, ranker))
    night.write_table(night.key(f"ranked/shard={shard}.parquet"), ranked)
    night.write_table(night.key(f"explorable/shard={shard}.parquet"), explorable_rows(placed, candidates))
    log.info(f"shard {shard}: {to_score.num_rows:,} candidates scored, {ranked.num_rows:,} rows of lists")


def _counted(candidates: pa.Table) -> pa.Table:
    """How many candidates of each platform were scored, and how many pins without features stood beside them."""
    counted = candidates.group_by(["platform", "is_candidate"]).aggregate([([], "count_all")])
    return counted.rename_columns({"count_all": "rows"}).sort_by(
        [("platform", "ascending"), ("is_candidate", "ascending")]
    )


def _statistics(candidates: pa.Table, ranker: ServingRanker | None) -> pa.Table:
    """What the features that the model read are like; empty where none serves."""
    if ranker is None:
        return SERVED.empty_table()
    return serving_statistics(candidates, ranker.spec.numeric, ranker.spec.categorical)


def serving_ranker(night: Night) -> ServingRanker | None:
    """The model that serves this night, see `ServingModel`; None before the first model.

    Raises:
        RegistryError: the version is gone, or its files cannot be read.
    """
    serving = night.read(ServingModel)
    if serving.version is None:
        return None
    registry = Registry(night.settings)
    version = registry.version(serving.version)
    if version is None:
        raise RegistryError(
            f"version {serving.version} of '{registry.name}', which serves the night of {night.as_of}, is gone. Received: no "
            "such version in MLflow. Remedy: run the task choose_serving_model again."
        )
    model, features = registry.load(version)
    return ServingRanker(str(serving.version), model, FeatureSpec.from_json(features))


def warn_unseen_values(night: Night, shard: int, candidates: pa.Table, spec: FeatureSpec) -> None:
    """Warn about values that the model has not seen, and about numbers that are none. Every candidate gets a score all the same."""
    wrong = [f"{name} ({rows / candidates.num_rows:.1%})" for name, rows in not_finite(candidates, spec).items()]
    if wrong:
        log.warning(
            f"shard {shard}: features are NaN or infinite in some candidates: {', '.join(wrong)}. NaN is read as "
            "missing, infinity as the extreme of the examples. Look for a division by zero in `candidates`"
        )
    for name in spec.categorical:
        known = query(night.settings, f'select distinct "{name}" as value from marts.training_examples')["value"]
        if platforms := platforms_without_known_value(candidates, name, known):
            log.warning(
                f"shard {shard}: on {', '.join(platforms)} no value of feature {name} stands in any example. "
                "To the model they are all alike, and tell nothing. See whether the platform, or its staging model, "
                "gives them other names than before"
            )


def _candidates(night: Night, shard: int) -> pa.Table:
    """Candidates with their features, sorted; those of a pin that have no features, and so no score, come last."""
    sequences = "sequences.* exclude (as_of, person_id, platform)"
    return query_with_sequences(
        night.settings,
        f"select serving_candidates.*, {sequences} from {CANDIDATES} where {OF_SHARD} "
        "order by not is_candidate, person_id, platform, item_id",
        {"shards": night.settings.scoring_shards, "shard": shard},
    )


def _popular(night: Night, shard: int, ranker: ServingRanker | None) -> pa.Table:
    """Candidates of the popular lists of the shard: of accounts without candidates of their own, or of all while no model serves."""
    return query(
        night.settings,
        f"from marts.popular_list_candidates where {OF_SHARD} and not (has_candidates and $is_served)",
        {"shards": night.settings.scoring_shards, "shard": shard, "is_served": ranker is not None},
    )
