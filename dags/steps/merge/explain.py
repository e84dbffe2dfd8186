"""Why two records are, or are not, the same: match weights and everything else that decides."""

from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from dags.steps.merge.decisions import decisions
from dags.steps.merge.link import KINDS, UnknownRecordError, account_records, identity_key, product_records, vault
from dags.steps.merge.linkage_model import serving_model
from dags.steps.night import Night
from ml.identity.ids import waterfall
from ml.identity.interests import alike_pairs
from ml.identity.linkage import bits, score_pair
from ml.identity.overrides import Record
from ml.identity.people import VAULT


@dataclass(frozen=True)
class Explanation:
    """A pair in numbers and words, without anything that it was compared by."""

    start: float  # bits of any two records
    steps: list[tuple[str, float]]  # comparison, bits it gives or takes; the strongest first
    weight: float  # bits in all
    probability: float
    threshold: float
    same: bool
    because: str


def explain(night: Night, kind_name: str, left: Record, right: Record) -> Explanation:
    """Compare two records of the night as linking does.

    Raises:
        UnknownRecordError: One of the two is not among the night's records.
        RuntimeError: No linkage model has been trained yet.
    """
    kind, settings = KINDS[kind_name], night.settings
    model = serving_model(night, kind.spec)
    if model is None:
        raise RuntimeError(
            f"no model links {kind.record}s yet. Received: no champion of crossrec-{kind.spec.name} in MLflow. "
            "Remedy: run `crossrec nightly`, or `crossrec identity train`."
        )
    records = (
        account_records(night, vault(night, model)[0], model.vectors)
        if kind.name == "person"
        else product_records(night)
    )
    two = pa.concat_tables([_record(records, record, night, kind.record) for record in sorted((left, right))])
    [pair] = score_pair(two, kind.spec, model.model).to_pylist()
    threshold = kind.threshold(settings)
    ids = night.read_table(identity_key(night.as_of.isoformat(), kind.ids)).rename_columns(
        ["platform", "id", "cluster"]
    )
    clusters = [_row(ids, record)["cluster"].to_pylist() for record in (left, right)]
    same = bool(clusters[0]) and clusters[0] == clusters[1]
    strong = pair["match_weight"] > bits(threshold)  # of certain links the probability is too near to 1 to be compared
    decided = [o for o in decisions(night, kind.name) if o.pair == tuple(sorted((left, right)))]
    if decided:
        because = f"people decided so: {decided[0]}"
    elif same and strong:
        because = "their link is strong enough"
    elif same and kind.name == "person" and alike_pairs(two, VAULT, settings.behaviour_threshold or 1.0).num_rows:
        because = "what they like is alike, and nothing else compares them"
    elif same:
        because = f"others link them, as one {kind.name} {clusters[0][0]}"
    elif not strong:
        because = f"{bits(threshold) - pair['match_weight']:.1f} bits are missing to a probability of {threshold:.0%}"
    elif left[0] == right[0] and two["alone"][0].as_py():
        because = f"nobody has two {kind.record}s on {left[0]}"
    else:
        because = f"stronger links put each into a {kind.name} of its own, or they share no block of values"
    return Explanation(
        start=bits(model.model.prior),
        steps=waterfall(pair, kind.spec.compared),
        weight=pair["match_weight"],
        probability=pair["score"],
        threshold=threshold,
        same=same,
        because=because,
    )


def _record(records: pa.Table, record: Record, night: Night, what: str) -> pa.Table:
    found = _row(records, record)
    if not found.num_rows:
        raise UnknownRecordError(
            f"{what} '{':'.join(record)}' is unknown. Received: no active {what} of that id on platform '{record[0]}' in the "
            f"night of {night.as_of}. Remedy: write platform:id as the platform spells it, or ask for another --date."
        )
    return found


def _row(table: pa.Table, record: Record) -> pa.Table:
    return table.filter(pc.and_(pc.equal(table["platform"], record[0]), pc.equal(table["id"], record[1])))
