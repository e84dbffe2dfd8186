"""Step 8: challenger, champion and simple methods on the same held-out snapshot, and the promotion gate."""

import hashlib
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from dags.steps.learn.history import too_short_history
from dags.steps.learn.off_policy import logged_choices, value_of_choices
from dags.steps.learn.train import code_of, digest_of
from dags.steps.night import Night
from expectations.gate import promotion_gate
from infra.mlflow.registry import ModelVersion, Registry
from infra.settings import Settings
from infra.warehouse import query, query_with_sequences
from ml.evaluation.comparison import ALL, SCHEMA, Contender, compare
from ml.evaluation.factorisation import METHODS as FACTORISATIONS
from ml.evaluation.promotion import METRIC, decide
from ml.ranking.network.features import FeatureSpec
from ml.ranking.network.objectives import POSITIVE
from ml.ranking.network.scoring import score
from ml.ranking.network.wide_deep import network_of
from ml.ranking.rerank import rerank

log = logging.getLogger(__name__)

CHALLENGER, CHAMPION = "challenger", "champion"
POPULARITY = "popularity"
# by the column that says how each scores our candidates
SIMPLE_METHODS = {"ease": "ease_14d", "item_neighbours": "neighbour_score"}
BASELINES = [POPULARITY, *SIMPLE_METHODS, *FACTORISATIONS]
DIVERSITIES = (0.0, 0.05, 0.1, 0.2, 0.3, 0.5)
OBJECTIVE_METRICS = ("ndcg_at_10", "recall_at_20")
NOTHING: dict[str, Any] = {
    "comparison": [],
    "popularity_window": None,
    "objectives": [],
    "diversity": [],
    "off_policy": None,
}


def evaluate(night: Night) -> None:
    """Compare all contenders, decide about the challenger, and promote it where the setting allows.

    A snapshot is held out for several nights. Where a night before compared the same versions on the same data, its
    comparison is tonight's.
    """
    if too_short_history(night):
        night.record("evaluation", NOTHING | {"reasons": ["there is no model yet, for there is not enough history"]})
        return
    registry = Registry(night.settings)
    challenger, champion = registry.challenger(), registry.champion()
    assert challenger is not None, "train ran before"
    same = champion is not None and champion.version == challenger.version
    versions = {CHALLENGER: challenger} if champion is None or same else {CHALLENGER: challenger, CHAMPION: champion}
    held_out = held_out_of(night)
    if not held_out.relevant.num_rows:
        _judge_nothing(night, held_out.as_of)
        return
    fingerprint = fingerprint_of(versions, held_out, night.settings)
    found = compared_before(night, fingerprint)
    if found is not None:
        log.info(f"versions and held-out snapshot are those of the night of {found.as_of}, and so is their comparison")
    else:
        found = _compare(night, registry, versions, held_out)
    comparison = found.comparison

    if same:
        promoted, reasons = True, [f"version {challenger.version} serves already; there was nothing new to learn"]
    else:
        decision = decide(comparison, CHALLENGER, CHAMPION if champion else None, BASELINES)
        promoted, reasons = decision.promote, decision.reasons
        if promoted and champion and night.as_of.isoformat() < champion.tags["as_of"]:
            promoted, reasons = (
                False,
                [f"keep: the champion learned from a newer night ({champion.tags['as_of']})", *reasons],
            )
        if promoted and (night.settings.auto_promote or champion is None):
            registry.promote(challenger)
        elif promoted:
            promoted, reasons = (
                False,
                [*reasons, f"waits for a person: version {challenger.version} may be promoted in MLflow"],
            )
    if unjudged := sorted(set(night.platforms) - set(held_out.relevant["platform"].to_pylist())):
        reasons = [*reasons, f"warning: nothing was judged on {', '.join(unjudged)}, where nobody took anything"]
        log.warning(reasons[-1].removeprefix("warning: "))
    registry.log_evaluation(challenger, comparison, night.as_of)
    night.record(
        "evaluation",
        {
            "comparison": comparison.to_pylist(),
            "popularity_window": found.popularity,
            "objectives": found.objectives,
            "diversity": found.diversity,
            "off_policy": found.off_policy,
            "reasons": reasons,
            "fingerprint": fingerprint,
            "compared_in": found.as_of,
        },
    )
    night.record("gate-promotion", promotion_gate(promoted, reasons, as_of=night.as_of).model_dump(mode="json"))
    log.info(reasons[0])


def _judge_nothing(night: Night, cut: date) -> None:
    """The champion goes on, as nothing tells whether the challenger is as good."""
    reasons = [
        f"keep: there is nothing to judge the challenger by, for nobody with candidates took anything new in the "
        f"{night.settings.horizon_days} days from {cut}"
    ]
    night.record("evaluation", NOTHING | {"reasons": reasons})
    night.record("gate-promotion", promotion_gate(False, reasons, as_of=night.as_of).model_dump(mode="json"))
    log.warning(f"{reasons[0]}")


@dataclass(frozen=True)
class HeldOut:
    """The newest labelled snapshot, as every contender is judged on it."""

    as_of: date
    examples: pa.Table
    relevant: pa.Table
    labels: pa.Table  # person_id, platform, product_id, label: what was then taken, by anybody
    catalogue: pa.Table  # platform, item_id, product_id, category, popularity, is_new, is_available
    baselines: pa.Table  # contender, and the columns of its lists
    takes: pa.Table  # person_id, product_id, age_days: what everybody had taken before
    consumed: pa.Table  # person_id, platform, product_id: what no list may show
    objectives: pa.Table  # objective, person_id, platform, product_id: what then counted for those beside take
    choices: pa.Table | None  # what was drawn at random in the lists of that night, see `logged_choices`

    def lists(self, baseline: str) -> pa.Table:
        return self.baselines.filter(pc.equal(self.baselines["contender"], baseline))

    @property
    def available(self) -> pa.Table:
        return self.catalogue.filter(self.catalogue["is_available"])

    @property
    def sizes(self) -> dict[str, int]:
        counted = self.available.group_by("platform").aggregate([([], "count_all")])
        return {row["platform"]: row["count_all"] for row in counted.to_pylist()}

    def described(self, scored: pa.Table) -> pa.Table:
        """A contender's rows with what is known of their items, which is the same for every contender."""
        known = self.catalogue.drop_columns(["product_id", "is_available"])
        return scored.join(known, ["platform", "item_id"])


def held_out_of(night: Night) -> HeldOut:
    [as_of] = query(night.settings, "select as_of from marts.snapshots where role = 'evaluation'")["as_of"].to_pylist()
    cut = f"as_of = date '{as_of}'"  # by value: views of all cuts build no other one then
    examples = query_with_sequences(
        night.settings,
        "from marts.training_examples left join sequences using (as_of, person_id, platform)"
        f" where {cut} order by person_id, platform, item_id",
    )
    relevant, labels, catalogue, baselines, takes, consumed, objectives = (
        query(night.settings, sql)
        for sql in (
            "select * exclude (as_of) from marts.evaluation_relevant order by all",
            f"select person_id, platform, product_id, 1 as label from marts.snapshot_labels where {cut} order by all",
            "select platform, item_id, product_id, category, popularity, is_new, is_available from marts.evaluation_items"
            " order by all",
            "select contender, person_id, platform, item_id, score, label from marts.baseline_lists"
            f" where {cut} order by all",
            f"select person_id, product_id, age_days from marts.positive_interactions where {cut} order by person_id, product_id",
            "select person_id, platform, product_id from marts.evaluation_consumed order by all",
            "from marts.evaluation_objectives order by all",
        )
    )
    choices = logged_choices(Night(as_of, settings=night.settings))
    return HeldOut(as_of, examples, relevant, labels, catalogue, baselines, takes, consumed, objectives, choices)


def fingerprint_of(versions: dict[str, ModelVersion], held_out: HeldOut, settings: Settings) -> str:
    """Identifies everything that a comparison is made of."""
    tables = [value for value in vars(held_out).values() if isinstance(value, pa.Table)]
    parts = [f"{name} {version.uri}" for name, version in versions.items()]
    parts += [f"{settings.seed} {settings.list_size} {settings.max_per_category} {settings.diversity}"]
    parts += [code_of("evaluation"), *(digest_of(table) for table in tables)]
    return hashlib.sha256("|".join(parts).encode()).hexdigest()


@dataclass(frozen=True)
class _Compared:
    as_of: date
    popularity: str
    comparison: pa.Table
    objectives: list[dict[str, Any]]
    diversity: list[dict[str, Any]]
    off_policy: dict[str, Any] | None


def compared_before(night: Night, fingerprint: str) -> _Compared | None:
    """What the newest night with this fingerprint found."""
    earlier = night.earlier_with("evaluation", fingerprint)
    if earlier is None:
        return None
    recorded = earlier.recorded("evaluation")
    return _Compared(
        date.fromisoformat(recorded["compared_in"]),
        recorded["popularity_window"],
        pa.Table.from_pylist(recorded["comparison"], SCHEMA),
        recorded["objectives"],
        recorded["diversity"],
        recorded["off_policy"],
    )


def _compare(night: Night, registry: Registry, versions: dict[str, ModelVersion], held_out: HeldOut) -> _Compared:
    """The versions beside popularity, EASE, item neighbours, ALS and BPR, and what their lists would be worth otherwise.

    Popularity takes part with the window that is best on this very snapshot, which flatters it, not us. A list of
    twenty says nothing of how a method orders the rest, so AUC is taken over the same candidates for all.
    """
    popularity = _best_window(held_out)
    by_window = _by_column(held_out.examples, popularity.replace("popularity", "item_events"))
    models = {name: _loaded(registry, version) for name, version in versions.items()}
    ranked = [_scored(name, held_out, *model) for name, model in models.items()]
    contenders = [
        *ranked,
        Contender(POPULARITY, held_out.described(held_out.lists(popularity)), auc_rows=by_window),
        *(
            Contender(name, held_out.described(held_out.lists(name)), auc_rows=_by_column(held_out.examples, column))
            for name, column in SIMPLE_METHODS.items()
        ),
        *(factorised(name, held_out, night.settings.seed) for name in FACTORISATIONS),
    ]
    return _Compared(
        night.as_of,
        popularity,
        compare(contenders, held_out.relevant, held_out.sizes, seed=night.settings.seed),
        by_objective(contenders, held_out, night.settings.seed),
        price_of_diversity(ranked[0].scored, held_out, night.settings),
        _value_of_choices(held_out.choices, models),
    )


def _value_of_choices(choices: pa.Table | None, models: dict[str, tuple[Any, FeatureSpec]]) -> dict[str, Any] | None:
    """None where nothing was drawn at random that night, or every model has features that were not known then."""
    if choices is None:
        return None
    predicted = {
        name: score(model, features, choices).astype(np.float64)
        for name, (model, features) in models.items()
        if {*features.columns} <= {*choices.column_names}
    }
    return value_of_choices(choices, predicted) if predicted else None


def by_objective(contenders: Sequence[Contender], held_out: HeldOut, seed: int) -> list[dict[str, Any]]:
    """What the same lists are worth where only what counts for one objective is found: what was purchased, or watched.

    For each objective beside take of which anything happened, over the lists of those to whom it did. Rows are those of
    `compare`, with `objective`.
    """
    keys = ["person_id", "platform"]
    items = held_out.catalogue.select(["platform", "item_id", "product_id"])
    rows: list[dict[str, Any]] = []
    for objective in pc.unique(held_out.objectives["objective"]).to_pylist():
        found = held_out.objectives.filter(pc.equal(held_out.objectives["objective"], objective))
        counted = found.group_by(keys, use_threads=False).aggregate([([], "count_all")])
        found = found.join(items, ["platform", "product_id"], join_type="inner").select([*keys, "item_id"])
        labels = found.append_column("label", pa.repeat(1, found.num_rows))
        judged = [
            Contender(each.name, _relabelled(each.scored.select([*keys, "item_id", "score"]), labels, "item_id"))
            for each in contenders
        ]
        compared = compare(judged, counted.rename_columns([*keys, "relevant"]), held_out.sizes, seed=seed).to_pylist()
        rows += [
            {"objective": objective, **row}
            for row in compared
            if row["platform"] == ALL and row["metric"] in OBJECTIVE_METRICS
        ]
    return rows


def _relabelled(scored: pa.Table, labels: pa.Table, key: str) -> pa.Table:
    """With the label 1 where `labels` has person, platform and `key`, else 0."""
    joined = scored.join(labels, ["person_id", "platform", key])
    return joined.set_column(joined.column_names.index("label"), "label", pc.fill_null(joined["label"], 0))


def price_of_diversity(scored: pa.Table, held_out: HeldOut, settings: Settings) -> list[dict[str, Any]]:
    """What lists of a model would lose at each strength of diversity, and gain, beside lists by relevance alone.

    Nothing, where no list has two items whose category is known.
    """
    strengths = sorted({*DIVERSITIES, settings.diversity})
    lists = [rerank(scored, settings.list_size, settings.max_per_category, strength) for strength in strengths]
    contenders = [
        Contender(str(strength), table.set_column(table.schema.get_field_index("score"), "score", _by_rank(table)))
        for strength, table in zip(strengths, lists, strict=True)
    ]
    relevant = held_out.relevant.select(["person_id", "platform", "relevant"])
    compared = compare(contenders, relevant, held_out.sizes, seed=settings.seed).to_pylist()
    of_all = {(row["contender"], row["against"], row["metric"]): row for row in compared if row["platform"] == ALL}
    if any((str(strength), None, "intra_list_diversity") not in of_all for strength in strengths):
        return []
    nothing = {"value": 0.0, "low": 0.0, "high": 0.0}
    return [
        {
            "strength": strength,
            "ndcg_at_10": of_all[str(strength), None, "ndcg_at_10"]["value"],
            **{
                f"ndcg_{part}": of_all.get((str(strength), "0.0", "ndcg_at_10"), nothing)[bound]
                for part, bound in (("change", "value"), ("low", "low"), ("high", "high"))
            },
            "intra_list_diversity": of_all[str(strength), None, "intra_list_diversity"]["value"],
            "is_used": strength == settings.diversity,
        }
        for strength in strengths
    ]


def _by_rank(lists: pa.Table) -> pa.Array:
    return pc.negate(lists["rank"].cast(pa.float64()))


def _loaded(registry: Registry, version: ModelVersion) -> tuple[Any, FeatureSpec]:
    model, features = registry.load(version)
    return model, FeatureSpec.from_json(features)


def _scored(name: str, held_out: HeldOut, model: Any, features: FeatureSpec) -> Contender:
    scores = pa.array(score(model, features, held_out.examples))
    columns = ["person_id", "platform", "item_id", "label"]
    scored = held_out.examples.select(columns).append_column("score", scores)
    if len(network_of(model).objectives) > 1:
        of_take = pa.array(score(model, features, held_out.examples, POSITIVE))
        scored = scored.append_column("probability", of_take)
    return Contender(name, held_out.described(scored), probabilities=True)


def _by_column(examples: pa.Table, column: str) -> pa.Table:
    """The candidates as a method without learning scores them: by one of their columns."""
    columns = ["person_id", "platform", "item_id", "label"]
    return examples.select(columns).append_column("score", pc.fill_null(examples[column], 0.0))


def factorised(method: str, held_out: HeldOut, seed: int) -> Contender:
    """One of `FACTORISATIONS`, learned from what everybody had taken: its lists, and how it scores our candidates."""
    factors = FACTORISATIONS[method](held_out.takes, seed)
    lists = factors.lists(held_out.relevant, held_out.available, held_out.consumed)
    lists = _relabelled(lists, held_out.labels, "product_id").drop_columns(["product_id"])
    rows = held_out.examples.select(["person_id", "platform", "item_id", "label"])
    auc_rows = rows.append_column("score", pa.array(factors.scores(held_out.examples)))
    return Contender(method, held_out.described(lists), auc_rows=auc_rows)


def _best_window(held_out: HeldOut) -> str:
    names = pc.unique(held_out.baselines["contender"]).to_pylist()
    windows = [Contender(name, held_out.lists(name)) for name in names if name.startswith("popularity_")]
    compared = compare(windows, held_out.relevant, held_out.sizes, replicates=1).to_pylist()
    scope = {"against": None, "platform": ALL, "cohort": ALL, "metric": METRIC}
    own = [row for row in compared if scope.items() <= row.items()]
    return str(max(own, key=lambda row: (row["value"], row["contender"]))["contender"])
