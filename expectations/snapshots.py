"""Gate `training_data`, its second part: the examples of a snapshot are like those of the snapshots and nights before.

Every bound is learned from the installation's own past: from what earlier nights found in the same snapshot, which is built once
and hardly changes, and from the other snapshots. Where there are fewer than `MATURE` of these, a bound that is learned from them
warns and stops nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from expectations.compared import (
    ERRORS,
    MATURE,
    REBUILT,
    as_frame,
    judge,
    judge_distribution,
    noise_of_distance,
    noise_of_share,
    suite_over,
)

if TYPE_CHECKING:
    import great_expectations as gx
    import pandas as pd

# No honest feature of the demo, small or whole, was outside 0.33 to 0.73 in any snapshot; the best rankers known rarely pass 0.9
# with all features together. A feature that knows the label is at 0.99 or 0.01.
HIGHEST_AUC_ALONE = 0.95
SEEN = 0.05  # the AUC above 0.5 that some feature has if labels can be learned at all; with too few positives nobody would see it
COUNTED = ("examples", "positive_rate", "positive_rate_high")
LEARNED = (*COUNTED, "labels", "missing", "commonest", "distribution", "leak")
GROWING = (*COUNTED, "missing", "commonest", "distribution")  # what grows with the days of events before a snapshot
LONGEST_WINDOW = 90  # days, of the features that count events of a time


def frame(
    tonight: pa.Table, past: pa.Table, first_day: date | None = None, alone_in_older: Mapping[str, float] | None = None
) -> pa.Table:
    """The frame that `suite` checks: by how much each snapshot and feature is outside of its bounds.

    Args:
        tonight: the statistics of tonight's snapshots, see `ml.evaluation.snapshots`.
        past: those that earlier nights found, with the same code and sources: one row per as_of and feature.
        first_day: of the events. A snapshot with less than `LONGEST_WINDOW` days of them before it honestly has less of everything
            than later ones, so what it is beside these only warns.

        alone_in_older: the AUC of each feature alone over all snapshots but the newest, together: each may have too few positives.

    Returns:
        `as_frame` with one row per snapshot, per snapshot and feature, and for all snapshots.
    """
    import pandas as pd

    now, before = tonight.to_pandas(), past.to_pandas()
    known = pd.concat([before, now[~now["as_of"].isin(before["as_of"])]], ignore_index=True)
    findings: list[dict[str, object]] = []
    for as_of, snapshot in now.groupby("as_of", sort=True):
        own, others = before[before["as_of"] == as_of], known[known["as_of"] != as_of]
        found = _of_snapshot(f"{as_of:%Y-%m-%d}", snapshot, own, others)
        is_short = first_day is not None and (as_of - first_day).days < LONGEST_WINDOW and own.empty
        findings += [_warning(finding) for finding in found] if is_short else found
    findings.append(_of_all_labels(now))
    for feature, auc in (alone_in_older or {}).items():
        findings.append({"what": f"older snapshots {feature}", "alone": _alone(auc)})
    return as_frame(findings, ("alone", *LEARNED), LEARNED)


def _alone(auc: float) -> float:
    return abs(auc - 0.5) - (HIGHEST_AUC_ALONE - 0.5)


def _warning(finding: dict[str, object]) -> dict[str, object]:
    """The finding with what was judged beside other snapshots as what only warns."""
    return {f"{kind}_young" if kind in GROWING else kind: value for kind, value in finding.items()}


def _of_snapshot(name: str, now: pd.DataFrame, own: pd.DataFrame, others: pd.DataFrame) -> list[dict[str, object]]:
    """One finding of the snapshot as a whole, and one of each feature."""
    once, own_once = _counts(now).iloc[0], _counts(own)
    rest = _counts(others)
    noise = ERRORS * np.sqrt(1 / max(once["persons"], 1) + 1 / max(rest["persons"].mean() if len(rest) else 1, 1))
    whole: dict[str, object] = {"what": name}
    for kind, measure, sign in (
        ("examples", "size", -1),
        ("positive_rate", "rate", -1),
        ("positive_rate_high", "rate", 1),
    ):
        judge(whole, kind, sign * once[measure], [*(sign * rest[measure])], noise, own=[*(sign * own_once[measure])])
    return [whole, *_of_features(name, now, own, others)]


def _counts(statistics: pd.DataFrame) -> pd.DataFrame:
    """One row per snapshot: persons, and the logarithms of its size and of its share of positives."""
    counts = statistics.drop_duplicates("as_of").set_index("as_of").sort_index()
    with np.errstate(divide="ignore"):
        size, rate = np.log(counts["examples"]), np.log(counts["positives"] / counts["examples"])
    return counts[["persons", "positives"]].assign(size=size, rate=rate.clip(lower=-50.0))


def _of_features(name: str, now: pd.DataFrame, own: pd.DataFrame, others: pd.DataFrame) -> list[dict[str, object]]:
    findings = []
    persons = max(int(now["persons"].iloc[0]), 1)
    strongest = now.set_index("feature")["auc"].map(_separation).dropna().sort_values(ascending=False)
    ours, theirs = dict([*own.groupby("feature")]), dict([*others.groupby("feature")])
    labels = _LabelSignal(now, own, others)
    for row in now.itertuples():
        finding: dict[str, object] = {"what": f"{name} {row.feature}"}
        mine, rest = ours.get(row.feature, own.iloc[:0]), theirs.get(row.feature, others.iloc[:0])
        for kind in ("missing", "commonest"):
            judge(
                finding, kind, getattr(row, kind), [*rest[kind]], noise_of_share(rest[kind], persons), own=[*mine[kind]]
            )
        judge_distribution(
            finding, row.quantiles, [*rest["quantiles"]], noise_of_distance(persons), own=[*mine["quantiles"]]
        )
        if row.feature in strongest.index:
            finding["alone"] = _alone(row.auc)
            noise = ERRORS / np.sqrt(12 * persons)  # of an AUC, where the persons and not the rows are independent
            before, strength = ((those["auc"] - 0.5).abs().dropna() for those in (mine, rest))
            judge(finding, "leak", abs(row.auc - 0.5), [*strength], noise, own=[*before])
            _judge_beside_others(finding, strongest, row.feature, mature=others["as_of"].nunique() >= MATURE)
        findings.append(finding)
    if labels.is_known:
        findings.append({"what": f"{name} labels", **labels.finding})
    return findings


class _LabelSignal:
    """How well the five features that tell the labels best in other snapshots do so in this one.

    Of shuffled labels they tell nothing. The bound is what chance alone would give. It holds where every other snapshot is above its
    own bound, and twice above this one; elsewhere honest labels cannot be told from shuffled ones.
    """

    def __init__(self, now: pd.DataFrame, own: pd.DataFrame, others: pd.DataFrame) -> None:
        import pandas as pd

        reference = pd.concat([own, others])
        self.finding: dict[str, float] = {}
        aucs = reference.pivot_table(index="feature", columns="as_of", values="auc") - 0.5
        tonight = now.set_index("feature")["auc"] - 0.5
        self.is_known = bool(len(aucs)) and bool(tonight.notna().any())
        if not self.is_known:
            return
        mean = aucs.mean(axis=1)
        best = mean.abs().sort_values(ascending=False, kind="stable").index[:5]
        sign = np.sign(mean[best])
        signal = float((tonight.reindex(best) * sign).mean())
        if len(own) and own["auc"].notna().any():
            before = float(((own.set_index("feature")["auc"] - 0.5).reindex(best) * sign).mean())
            # the signal itself is at stake, so half of it, where that is less than a rebuilt snapshot may differ
            self.finding["labels"] = before - min(REBUILT, max(before, 0) / 2) - signal
            return
        signals = aucs.loc[best].mul(sign, axis=0).mean()
        positives = reference.drop_duplicates("as_of").set_index("as_of")["positives"]
        chance = ERRORS / np.sqrt(12 * positives.clip(lower=1))
        bound = ERRORS / np.sqrt(12 * max(int(now["positives"].iloc[0]), 1))
        if len(signals) >= 2 and (signals > chance.reindex(signals.index)).all() and bound < signals.min() / 2:
            self.finding["labels" if len(signals) >= MATURE else "labels_young"] = float(bound - signal)


def _judge_beside_others(
    finding: dict[str, object], strongest: pd.Series[float], feature: str, *, mature: bool
) -> None:
    """A feature that is twice as strong as any other knows what none can know. Strength is the distance of two normal distributions."""
    rest = strongest.drop(feature)
    if len(rest) < 5 or rest.iloc[0] <= 0:
        return
    excess = float(strongest[feature] - max(2 * rest.iloc[0], _separation(0.5 + 2 * SEEN)))
    column = "leak" if mature else "leak_young"
    before = finding.get(column)
    finding[column] = max(excess, before) if isinstance(before, float) else excess


def _separation(auc: float) -> float:
    """The distance d' of two normal distributions, in standard deviations, that an AUC tells apart: sqrt(2) * probit(AUC)."""
    from scipy.stats import norm

    return float(np.sqrt(2) * norm.ppf(np.clip(0.5 + abs(auc - 0.5), 0, 1 - 1e-9)))


def _of_all_labels(now: pd.DataFrame) -> dict[str, object]:
    """Whether any feature tells the labels of all snapshots apart better than chance would; nothing of the past is needed."""
    counts = _counts(now)
    finding: dict[str, object] = {"what": "all snapshots"}
    aucs = now.pivot_table(index="feature", columns="as_of", values="auc")
    if not len(aucs):
        return finding
    weights = counts["positives"].reindex(aucs.columns)
    chance = (ERRORS + 1) / np.sqrt(
        12 * max(float(weights.sum()), 1.0)
    )  # one more, for the best of many features is looked at
    best = ((aucs - 0.5).mul(weights, axis=1).sum(axis=1) / weights.sum()).abs().max()
    finding["labels" if chance <= SEEN else "labels_young"] = float(chance - best)
    return finding


SAID = {
    "examples": (
        "about as many examples as the snapshot had before, or as other snapshots have",
        "candidates or labels of many people are missing",
        "compare `candidate_pairs` and `snapshot_labels` of the snapshot with the one before",
    ),
    "positive_rate": (
        "no smaller share of positive examples than the snapshot had before, or than other snapshots have",
        "labels are missing, or candidates no longer hold what people then want",
        "compare `snapshot_labels` of the snapshot with the one before, and the events of its horizon by platform",
    ),
    "positive_rate_high": (
        "no larger share of positive examples than the snapshot had before, or than other snapshots have",
        "labels leak into the candidates, or negatives are missing",
        "see whether `candidates` has rows that no generator proposed before the snapshot",
    ),
    "labels": (
        "labels that simple features tell apart as they do in other snapshots, and better than chance",
        "labels that nothing tells apart belong to other examples: a model learns noise from them",
        "look at the join of labels and candidates in `training_examples`: person, platform and product must all be equal",
    ),
    "alone": (
        "no feature that tells the labels apart by itself (an AUC under "
        f"{1 - HIGHEST_AUC_ALONE:.2g} or over {HIGHEST_AUC_ALONE:g})",
        "what was known before as_of never predicts so well what happens after it: the feature reads the future",
        "look at its SQL: it must read only what was known before as_of (`known_by`), and no label. If it is honest, such candidates "
        "are too easy to need a model: leave them out, or raise HIGHEST_AUC_ALONE in `expectations/snapshots.py` with the reason",
    ),
    "missing": (
        "no feature missing in many more examples than before",
        "a source or a join behind the feature is gone, and the model reads the feature as unknown",
        "look at the columns behind it, from `candidates.sql` down to the loads",
    ),
    "commonest": (
        "no feature with one value in many more examples than before",
        "a constant feature teaches nothing and often means a join that no longer matches",
        "look at the columns behind it, from `candidates.sql` down to the loads",
    ),
    "distribution": (
        "no feature with other values than before (the largest distance of distributions)",
        "a unit, a scale or a meaning changed: what the model learned from the older values is wrong for the newer ones",
        "compare its quantiles by as_of in `training_examples`; see whether a source changed its unit",
    ),
    "leak": (
        "no feature that tells the labels apart far better than it did before, or than all other features do",
        "what was known before as_of does not predict so much better at once: the feature reads the future",
        "look at its SQL: it must read only what was known before as_of (`known_by`), and no label",
    ),
}


def suite(*, accepted: bool = False) -> gx.ExpectationSuite:
    """Rules over `frame`. ``accepted``: a person looked at the snapshots and found them right. A feature that knows the labels stops."""
    return suite_over(
        "training_snapshots", SAID, learned=LEARNED, few="snapshots", accepted=accepted, never_accepted=["alone"]
    )
