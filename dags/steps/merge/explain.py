"""Why two records are, or are not, the same: match weights and everything else that decides."""

from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from dags.steps.merge.decisions import decisions_in_force
from dags.steps.merge.kinds import KINDS, Kind
from dags.steps.merge.known_records import UnknownRecordError
from dags.steps.merge.linkage_model import TrainedLinkage, serving_model
from dags.steps.merge.linked_records import account_records, product_records, read_vault
from dags.steps.night import Night
from ml.identity.ids import waterfall
from ml.identity.interests import alike_pairs
from ml.identity.linkage import bits, score_pair
from ml.identity.overrides import Record
from ml.identity.people import VAULT


@dataclass(frozen=True)
class Explanation:
    """A pair in numbers and words. The values that were compared are not in it."""

    start: float  # bits of any two records
    steps: list[tuple[str, float]]  # comparison, bits it adds or takes off; the strongest first
    weight: float  # bits in all
    probability: float
    threshold: float
    same: bool
    because: str


class NoLinkageModelError(RuntimeError):
    """No linkage model has been trained yet."""


def explain(night: Night, kind_name: str, left: Record, right: Record) -> Explanation:
    """Compare two records of the night in the way that linking does.

    Raises:
        UnknownRecordError: One of the two is not among the night's records.
        NoLinkageModelError: No linkage model has been trained yet.
    """
    kind = KINDS[kind_name]
    model = _model(night, kind)
    two = _both(night, kind, model, left, right)
    [pair] = score_pair(two, kind.spec, model.model).to_pylist()
    ids = kind.store(night.lake).ids(night.as_of)
    clusters = [_row(ids, record)["cluster_id"].to_pylist() for record in (left, right)]
    cluster = clusters[0][0] if clusters[0] and clusters[0] == clusters[1] else None
    return Explanation(
        start=bits(model.model.prior),
        steps=waterfall(pair, kind.spec.compared),
        weight=pair["match_weight"],
        probability=pair["score"],
        threshold=kind.threshold(night.settings),
        same=cluster is not None,
        because=_because(night, kind, two, pair["match_weight"], cluster, {left, right}),
    )


def _model(night: Night, kind: Kind) -> TrainedLinkage:
    model = serving_model(night, kind)
    if model is None:
        raise NoLinkageModelError(
            f"no model links {kind.record}s yet. Received: no champion of crossrec-{kind.spec.name} in MLflow. "
            "Remedy: run `crossrec nightly`, or `crossrec identity train`."
        )
    return model


def _both(night: Night, kind: Kind, model: TrainedLinkage, left: Record, right: Record) -> pa.Table:
    """The two records as they are compared, in order of platform and id."""
    records = (
        account_records(night, read_vault(night, model)[0], model.vectors)
        if kind.name == "person"
        else product_records(night)
    )
    found = []
    for record in sorted((left, right)):
        found.append(_row(records, record))
        if not found[-1].num_rows:
            raise UnknownRecordError(
                f"{kind.record} '{':'.join(record)}' is unknown. Received: no active {kind.record} of that id on platform "
                f"'{record[0]}' in the night of {night.as_of}. Remedy: write platform:id as the platform spells it, or ask "
                "for another --date."
            )
    return pa.concat_tables(found)


def _because(night: Night, kind: Kind, two: pa.Table, weight: float, cluster: str | None, pair: set[Record]) -> str:
    """What decided about the pair of records ``two``; ``cluster`` is the one that both are in, if any."""
    settings, threshold = night.settings, kind.threshold(night.settings)
    # in bits, because the probabilities of certain links are too near to 1 to be compared
    strong = weight > bits(threshold)
    decided = [override for override in decisions_in_force(kind.store(night.lake)) if {*override.pair} == pair]
    if decided:
        return f"people decided so: {decided[0]}"
    if cluster is not None and strong:
        return "their link is strong enough"
    if cluster is not None:
        likes = kind.name == "person" and alike_pairs(two, VAULT, settings.behaviour_threshold or 1.0).num_rows
        return (
            "what they like is alike, and nothing else compares them"
            if likes
            else f"others link them, as one {kind.name} {cluster}"
        )
    if not strong:
        return f"{bits(threshold) - weight:.1f} bits are missing to a probability of {threshold:.0%}"
    if len({platform for platform, _ in pair}) == 1 and two["alone"][0].as_py():
        return f"nobody has two {kind.record}s on {two['platform'][0].as_py()}"
    return f"stronger links put each into a {kind.name} of its own, or they share no block of values"


def _row(table: pa.Table, record: Record) -> pa.Table:
    return table.filter(pc.and_(pc.equal(table["platform"], record[0]), pc.equal(table["id"], record[1])))
