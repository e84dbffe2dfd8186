"""What the same lists are worth in another respect: by objective, and at other strengths of diversity."""

from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from ml.evaluation.comparison import ALL, Contender, compare
from ml.evaluation.contenders import labelled
from ml.evaluation.held_out import HeldOut
from ml.ranking.rerank import rerank

DIVERSITIES = (0.0, 0.05, 0.1, 0.2, 0.3, 0.5)
OBJECTIVE_METRICS = ("ndcg_at_10", "recall_at_20")


def by_objective(contenders: Sequence[Contender], held_out: HeldOut, seed: int) -> list[dict[str, Any]]:
    """What the lists are worth where only the products of one objective count as found, such as those purchased.

    Each objective of ``held_out.objectives`` is judged over the lists of the persons to whom it happened. Rows have the
    columns of `ml.evaluation.comparison.compare`, and ``objective``.
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
            Contender(each.name, labelled(each.scored.select([*keys, "item_id", "score"]), labels, "item_id"))
            for each in contenders
        ]
        compared = compare(judged, counted.rename_columns([*keys, "relevant"]), held_out.sizes, seed=seed).to_pylist()
        rows += [
            {"objective": objective, **row}
            for row in compared
            if row["platform"] == ALL and row["metric"] in OBJECTIVE_METRICS
        ]
    return rows


def price_of_diversity(
    scored: pa.Table, held_out: HeldOut, *, list_size: int, max_per_category: int, diversity: float, seed: int
) -> list[dict[str, Any]]:
    """What a model's lists would gain and lose at each strength of diversity, compared with lists by relevance alone.

    ``diversity`` is the strength in use. The result is empty where no list has two items whose category is known.
    """
    strengths = sorted({*DIVERSITIES, diversity})
    lists = [rerank(scored, list_size, max_per_category, strength) for strength in strengths]
    contenders = [
        Contender(str(strength), table.set_column(table.schema.get_field_index("score"), "score", _by_rank(table)))
        for strength, table in zip(strengths, lists, strict=True)
    ]
    relevant = held_out.relevant.select(["person_id", "platform", "relevant"])
    compared = compare(contenders, relevant, held_out.sizes, seed=seed).to_pylist()
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
            "is_used": strength == diversity,
        }
        for strength in strengths
    ]


def _by_rank(lists: pa.Table) -> pa.Array:
    return pc.negate(lists["rank"].cast(pa.float64()))
