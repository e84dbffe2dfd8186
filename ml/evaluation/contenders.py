"""The contenders of a comparison: learned models, popularity, EASE, item neighbours, and two factorisations."""

from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from ml.evaluation.comparison import ALL, POPULARITY, Contender, compare
from ml.evaluation.factorisation import METHODS as FACTORISATIONS
from ml.evaluation.held_out import HeldOut
from ml.evaluation.promotion import METRIC
from ml.ranking.network.features import FeatureSpec
from ml.ranking.network.objectives import POSITIVE

if TYPE_CHECKING:
    import keras

# each method, and the column of the candidates by which it scores them
SIMPLE_METHODS = {"ease": "ease_14d", "item_neighbours": "neighbour_score"}
CANDIDATE = ["person_id", "platform", "item_id", "label"]


def learned(name: str, held_out: HeldOut, model: "keras.Model", features: FeatureSpec) -> Contender:
    """A model as a contender. Where it has several objectives, its probability is that of objective `positive`."""
    from ml.ranking.network.scoring import score
    from ml.ranking.network.wide_deep import network_of

    scores = pa.array(score(model, features, held_out.examples))
    scored = held_out.examples.select(CANDIDATE).append_column("score", scores)
    if len(network_of(model).objectives) > 1:
        probabilities = pa.array(score(model, features, held_out.examples, POSITIVE))
        scored = scored.append_column("probability", probabilities)
    return Contender(name, held_out.described(scored), probabilities=True)


def baselines(held_out: HeldOut, popularity: str, seed: int) -> list[Contender]:
    """Popularity, the simple methods and the factorisations. ``popularity`` is a window, as from `best_window`.

    A list of twenty says nothing of how a method orders the rest. So AUC is computed over the same candidates for all.
    """
    by_window = _by_column(held_out.examples, popularity.replace("popularity", "item_events"))
    return [
        Contender(POPULARITY, held_out.described(held_out.lists(popularity)), auc_rows=by_window),
        *(
            Contender(name, held_out.described(held_out.lists(name)), auc_rows=_by_column(held_out.examples, column))
            for name, column in SIMPLE_METHODS.items()
        ),
        *(factorised(name, held_out, seed) for name in FACTORISATIONS),
    ]


def best_window(held_out: HeldOut) -> str:
    """The popularity window with the best NDCG@10 on this very snapshot. The choice flatters popularity, not the models."""
    names = pc.unique(held_out.baselines["contender"]).to_pylist()
    windows = [Contender(name, held_out.lists(name)) for name in names if name.startswith("popularity_")]
    compared = compare(windows, held_out.relevant, held_out.sizes, replicates=1).to_pylist()
    scope = {"against": None, "platform": ALL, "cohort": ALL, "metric": METRIC}
    own = [row for row in compared if scope.items() <= row.items()]
    return str(max(own, key=lambda row: (row["value"], row["contender"]))["contender"])


def factorised(method: str, held_out: HeldOut, seed: int) -> Contender:
    """One of `FACTORISATIONS`, learned from everybody's positive interactions before the snapshot."""
    factors = FACTORISATIONS[method](held_out.interactions, seed)
    lists = factors.lists(held_out.relevant, held_out.available, held_out.consumed)
    lists = labelled(lists, held_out.labels, "product_id").drop_columns(["product_id"])
    rows = held_out.examples.select(CANDIDATE)
    auc_rows = rows.append_column("score", pa.array(factors.scores(held_out.examples)))
    return Contender(method, held_out.described(lists), auc_rows=auc_rows)


def labelled(scored: pa.Table, labels: pa.Table, key: str) -> pa.Table:
    """``scored`` with label 1 where ``labels`` has the same person, platform and ``key``, and 0 elsewhere."""
    joined = scored.join(labels, ["person_id", "platform", key])
    return joined.set_column(joined.column_names.index("label"), "label", pc.fill_null(joined["label"], 0))


def _by_column(examples: pa.Table, column: str) -> pa.Table:
    """The candidates as a method without learning scores them: by one of their columns, and 0 where it is null."""
    return examples.select(CANDIDATE).append_column("score", pc.fill_null(examples[column], 0.0))
