"""Step 8: challenger, champion and simple methods on the same held-out snapshot, and the promotion gate."""

import pyarrow as pa
import pyarrow.compute as pc

from dags.steps.night import Night
from expectations.gate import promotion_gate
from infra.registry import ModelVersion, Registry
from infra.warehouse import query
from ml.evaluation.comparison import ALL, Contender, compare
from ml.evaluation.promotion import METRIC, decide
from ml.ranking.features import FeatureSpec
from ml.ranking.training import score

CHALLENGER, CHAMPION = "challenger", "champion"
POPULARITY, NEIGHBOURS = "popularity", "item_neighbours"


def evaluate(night: Night) -> None:
    """Compare all contenders, decide about the challenger, and promote it where the setting allows.

    Popularity takes part with the window that is best on this very snapshot, which flatters it, not us.
    """
    settings, registry = night.settings, Registry(night.settings)
    challenger, champion = registry.challenger(), registry.champion()
    assert challenger is not None, "train ran before"
    examples = query(
        settings,
        "select * from marts.training_examples"
        " where as_of in (select as_of from marts.snapshots where role = 'evaluation') order by person_id, platform, item_id",
    )
    relevant = query(settings, "select person_id, platform, relevant from marts.evaluation_relevant order by all")
    catalogue = query(
        settings,
        "select platform, count(*) as items from marts.item_popularity where is_available"
        " and as_of in (select as_of from marts.snapshots where role = 'evaluation') group by all",
    ).to_pylist()
    sizes = {row["platform"]: row["items"] for row in catalogue}
    baselines = _baselines(night)
    popularity = _best_window(baselines, relevant, sizes)
    contenders = [_scored(registry, CHALLENGER, challenger, examples)]
    same = champion is not None and champion.version == challenger.version
    if champion is not None and not same:
        contenders.append(_scored(registry, CHAMPION, champion, examples))
    lists = [Contender(POPULARITY, baselines[popularity]), Contender(NEIGHBOURS, baselines[NEIGHBOURS])]
    # a list of twenty says nothing of how a method orders the rest, so AUC is taken over the same candidates for all
    same_rows = [
        Contender(POPULARITY, _by_column(examples, popularity.replace("popularity", "item_events"))),
        Contender(NEIGHBOURS, _by_column(examples, "neighbour_score")),
    ]
    ranked = compare([*contenders, *lists], relevant, sizes, seed=settings.seed)
    classified = compare([*contenders, *same_rows], relevant, sizes, seed=settings.seed)
    comparison = pa.concat_tables(
        [ranked.filter(pc.not_equal(ranked["metric"], "auc")), classified.filter(pc.equal(classified["metric"], "auc"))]
    )

    if same:
        promoted, reasons = True, [f"version {challenger.version} serves already; there was nothing new to learn"]
    else:
        decision = decide(comparison, CHALLENGER, CHAMPION if champion else None, [POPULARITY, NEIGHBOURS])
        promoted, reasons = decision.promote, decision.reasons
        if promoted and champion and night.as_of.isoformat() < champion.tags["as_of"]:
            promoted, reasons = (
                False,
                [f"keep: the champion learned from a newer night ({champion.tags['as_of']})", *reasons],
            )
        if promoted and (settings.auto_promote or champion is None):
            registry.promote(challenger)
        elif promoted:
            promoted, reasons = (
                False,
                [*reasons, f"waits for a person: version {challenger.version} may be promoted in MLflow"],
            )
    registry.log_evaluation(challenger, comparison, night.as_of)
    night.record(
        "evaluation", {"comparison": comparison.to_pylist(), "popularity_window": popularity, "reasons": reasons}
    )
    night.record("gate-promotion", promotion_gate(promoted, reasons, as_of=night.as_of).model_dump(mode="json"))
    night.say(reasons[0])


def _scored(registry: Registry, name: str, version: ModelVersion, examples: pa.Table) -> Contender:
    model, features = registry.load(version)
    scores = pa.array(score(model, FeatureSpec.from_json(features), examples))
    columns = ["person_id", "platform", "item_id", "label"]
    return Contender(name, examples.select(columns).append_column("score", scores), probabilities=True)


def _by_column(examples: pa.Table, column: str) -> pa.Table:
    """The candidates as a method without learning scores them: by one of their columns."""
    columns = ["person_id", "platform", "item_id", "label"]
    return examples.select(columns).append_column("score", pc.fill_null(examples[column], 0.0))


def _baselines(night: Night) -> dict[str, pa.Table]:
    lists = query(
        night.settings,
        "select contender, person_id, platform, item_id, score, label from marts.baseline_lists"
        " where as_of in (select as_of from marts.snapshots where role = 'evaluation') order by all",
    )
    names = sorted(set(lists["contender"].to_pylist()))
    return {name: lists.filter(pc.equal(lists["contender"], name)) for name in names}


def _best_window(baselines: dict[str, pa.Table], relevant: pa.Table, sizes: dict[str, int]) -> str:
    windows = [Contender(name, lists) for name, lists in baselines.items() if name.startswith("popularity_")]
    compared = compare(windows, relevant, sizes, replicates=1).to_pylist()
    own = [row for row in compared if row["against"] is None and row["platform"] == ALL and row["metric"] == METRIC]
    return str(max(own, key=lambda row: (row["value"], row["contender"]))["contender"])
