"""Step 8: challenger, champion and simple methods on the same held-out snapshot, and the promotion gate."""

import hashlib
from dataclasses import dataclass
from datetime import date, timedelta

import pyarrow as pa
import pyarrow.compute as pc

from dags.steps.history import too_short_history
from dags.steps.night import Night
from dags.steps.train import code_of, digest_of
from expectations.gate import promotion_gate
from infra.registry import ModelVersion, Registry
from infra.warehouse import query
from ml.evaluation.comparison import ALL, SCHEMA, Contender, compare
from ml.evaluation.promotion import METRIC, decide
from ml.ranking.features import FeatureSpec
from ml.ranking.training import score

CHALLENGER, CHAMPION = "challenger", "champion"
POPULARITY = "popularity"
# by the column that says how each scores our candidates
SIMPLE_METHODS = {"ease": "ease_score", "item_neighbours": "neighbour_score"}


def evaluate(night: Night) -> None:
    """Compare all contenders, decide about the challenger, and promote it where the setting allows.

    A snapshot is held out for several nights. Where a night before compared the same versions on the same data, its
    comparison is tonight's.
    """
    if too_short_history(night):
        reasons = ["there is no model yet, for there is not enough history"]
        night.record("evaluation", {"comparison": [], "popularity_window": None, "reasons": reasons})
        return
    registry = Registry(night.settings)
    challenger, champion = registry.challenger(), registry.champion()
    assert challenger is not None, "train ran before"
    same = champion is not None and champion.version == challenger.version
    versions = {CHALLENGER: challenger} if champion is None or same else {CHALLENGER: challenger, CHAMPION: champion}
    held_out = _held_out(night)
    fingerprint = fingerprint_of(versions, held_out, night.settings.seed)
    earlier = compared_before(night, fingerprint)
    if earlier is not None:
        popularity, comparison = earlier.popularity, earlier.comparison
        night.say(
            f"versions and held-out snapshot are those of the night of {earlier.as_of}, and so is their comparison"
        )
    else:
        popularity = _best_window(held_out)
        comparison = _compare(registry, versions, popularity, held_out, night.settings.seed)

    if same:
        promoted, reasons = True, [f"version {challenger.version} serves already; there was nothing new to learn"]
    else:
        decision = decide(comparison, CHALLENGER, CHAMPION if champion else None, [POPULARITY, *SIMPLE_METHODS])
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
    registry.log_evaluation(challenger, comparison, night.as_of)
    night.record(
        "evaluation",
        {
            "comparison": comparison.to_pylist(),
            "popularity_window": popularity,
            "reasons": reasons,
            "fingerprint": fingerprint,
            "compared_in": earlier.as_of if earlier is not None else night.as_of,
        },
    )
    night.record("gate-promotion", promotion_gate(promoted, reasons, as_of=night.as_of).model_dump(mode="json"))
    night.say(reasons[0])


@dataclass(frozen=True)
class HeldOut:
    """The newest labelled snapshot, as every contender is judged on it."""

    examples: pa.Table
    relevant: pa.Table
    catalogue: pa.Table  # platform, item_id, category, popularity, is_available
    baselines: pa.Table  # contender, and the columns of its lists

    def lists(self, baseline: str) -> pa.Table:
        return self.baselines.filter(pc.equal(self.baselines["contender"], baseline))

    @property
    def sizes(self) -> dict[str, int]:
        counted = (
            self.catalogue.filter(self.catalogue["is_available"]).group_by("platform").aggregate([([], "count_all")])
        )
        return {row["platform"]: row["count_all"] for row in counted.to_pylist()}

    def described(self, scored: pa.Table) -> pa.Table:
        """A contender's rows with their items' category and popularity, which are the same for every contender."""
        items = self.catalogue.select(["platform", "item_id", "category", "popularity"])
        return scored.join(items, ["platform", "item_id"])


def _held_out(night: Night) -> HeldOut:
    cut = "as_of in (select as_of from marts.snapshots where role = 'evaluation')"
    return HeldOut(
        *(
            query(night.settings, sql)
            for sql in (
                f"select * from marts.training_examples where {cut} order by person_id, platform, item_id",
                "select * exclude (as_of) from marts.evaluation_relevant order by all",
                "select platform, item_id, category, popularity, is_available from marts.evaluation_items order by all",
                "select contender, person_id, platform, item_id, score, label from marts.baseline_lists"
                f" where {cut} order by all",
            )
        )
    )


def fingerprint_of(versions: dict[str, ModelVersion], held_out: HeldOut, seed: int) -> str:
    """Identifies everything that a comparison is made of."""
    tables = (held_out.examples, held_out.relevant, held_out.catalogue, held_out.baselines)
    parts = [f"{name} {version.version}" for name, version in versions.items()]
    parts += [str(seed), code_of("evaluation"), *(digest_of(table) for table in tables)]
    return hashlib.sha256("|".join(parts).encode()).hexdigest()


@dataclass(frozen=True)
class _Compared:
    as_of: date
    popularity: str
    comparison: pa.Table


def compared_before(night: Night, fingerprint: str) -> _Compared | None:
    """What the newest night with this fingerprint found, among those that may hold out the same snapshot as tonight."""
    for days in range(night.settings.snapshot_every_days):
        as_of = night.as_of - timedelta(days)
        recorded = Night(as_of, settings=night.settings).recorded("evaluation") or {}
        if recorded.get("fingerprint") == fingerprint:
            compared_in = date.fromisoformat(recorded["compared_in"])
            comparison = pa.Table.from_pylist(recorded["comparison"], SCHEMA)
            return _Compared(compared_in, recorded["popularity_window"], comparison)
    return None


def _compare(
    registry: Registry, versions: dict[str, ModelVersion], popularity: str, held_out: HeldOut, seed: int
) -> pa.Table:
    """The versions beside popularity, EASE and item neighbours.

    Popularity takes part with the window that is best on this very snapshot, which flatters it, not us. A list of
    twenty says nothing of how a method orders the rest, so AUC is taken over the same candidates for all.
    """
    by_window = _by_column(held_out.examples, popularity.replace("popularity", "item_events"))
    contenders = [
        *(_scored(registry, name, version, held_out) for name, version in versions.items()),
        Contender(POPULARITY, held_out.described(held_out.lists(popularity)), auc_rows=by_window),
        *(
            Contender(name, held_out.described(held_out.lists(name)), auc_rows=_by_column(held_out.examples, column))
            for name, column in SIMPLE_METHODS.items()
        ),
    ]
    return compare(contenders, held_out.relevant, held_out.sizes, seed=seed)


def _scored(registry: Registry, name: str, version: ModelVersion, held_out: HeldOut) -> Contender:
    model, features = registry.load(version)
    scores = pa.array(score(model, FeatureSpec.from_json(features), held_out.examples))
    columns = ["person_id", "platform", "item_id", "label"]
    scored = held_out.examples.select(columns).append_column("score", scores)
    return Contender(name, held_out.described(scored), probabilities=True)


def _by_column(examples: pa.Table, column: str) -> pa.Table:
    """The candidates as a method without learning scores them: by one of their columns."""
    columns = ["person_id", "platform", "item_id", "label"]
    return examples.select(columns).append_column("score", pc.fill_null(examples[column], 0.0))


def _best_window(held_out: HeldOut) -> str:
    names = pc.unique(held_out.baselines["contender"]).to_pylist()
    windows = [Contender(name, held_out.lists(name)) for name in names if name.startswith("popularity_")]
    compared = compare(windows, held_out.relevant, held_out.sizes, replicates=1).to_pylist()
    scope = {"against": None, "platform": ALL, "cohort": ALL, "metric": METRIC}
    own = [row for row in compared if scope.items() <= row.items()]
    return str(max(own, key=lambda row: (row["value"], row["contender"]))["contender"])
