"""Gate `features`: tonight's candidates are like those of the nights before, and like the examples that the model learned from.

The field calls the one drift and the other training-serving skew. Bounds of drift are learned from the nights before, with a margin for
what honest weeks of the examples differ in. They stop a night once there are four of these, and warn before. What lies
outside of everything that the model ever saw stops the first night too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from expectations.compared import (
    as_frame,
    distances,
    judge,
    judge_distribution,
    noise_of_distance,
    noise_of_share,
    suite_over,
)

if TYPE_CHECKING:
    import great_expectations as gx
    import pandas as pd

NIGHTS = 28  # that a night is compared with: four weeks, so each weekday is among them
MOST = 0.5  # of a feature's values: a half that no example comes near is no matter of chance
DRIFT = ("candidates", "missing", "commonest", "distribution")
SKEW = ("outside", "empty")


def frame(tonight: pa.Table, past: pa.Table, snapshots: pa.Table) -> pa.Table:
    """The frame that `suite` checks: by how much each platform's candidates and features are outside of their bounds.

    Args:
        tonight: `ml.evaluation.snapshots.SERVED` of tonight's candidates.
        past: the same of earlier nights, with the same code and sources.
        snapshots: `ml.evaluation.snapshots.STATISTICS` of the examples.

    Returns:
        `as_frame` with one row per platform, per platform and feature, and per feature.
    """
    now, before = tonight.to_pandas(), past.to_pandas()
    weeks = dict([*snapshots.to_pandas().groupby("feature")])
    nights = dict([*before.groupby(["platform", "feature"])])
    findings = [
        _candidates(platform, rows, before[before["platform"] == platform])
        for platform, rows in now.groupby("platform", sort=True)
    ]
    for row in now.itertuples():
        earlier = nights.get((row.platform, row.feature), before.iloc[:0])
        findings.append(_feature(row, earlier, weeks.get(row.feature)))
    for feature, rows in now.groupby("feature", sort=True):
        if feature in weeks:
            in_examples = weeks[feature]["missing"].mean()
            findings.append({"what": feature, "empty": int((rows["missing"] == 1).all() and in_examples < MOST)})
    return as_frame(findings, (*SKEW, *DRIFT), DRIFT)


def _candidates(platform: str, now: pd.DataFrame, before: pd.DataFrame) -> dict[str, object]:
    """Whether a person has about as many candidates there as on other nights."""
    finding: dict[str, object] = {"what": platform}
    one, nights = now.iloc[0], before.drop_duplicates("as_of")
    fewer = np.log(nights["persons"] / nights["candidates"])
    tonight = float(np.log(one["persons"] / one["candidates"]))
    judge(finding, "candidates", tonight, [*fewer], noise_of_distance(one["persons"]))
    return finding


def _feature(now: pd.DataFrame, before: pd.DataFrame, weeks: pd.DataFrame | None) -> dict[str, object]:
    finding: dict[str, object] = {"what": f"{now.platform} {now.feature}"}
    for kind in ("missing", "commonest"):
        usual = weeks[kind].max() - weeks[kind].min() if weeks is not None else 0.0
        noise = max(noise_of_share(before[kind], now.persons), usual)
        judge(finding, kind, getattr(now, kind), [*before[kind]], noise)
    seen = [quantiles for quantiles in (weeks["quantiles"] if weeks is not None else []) if len(quantiles)]
    noise = max(noise_of_distance(now.persons), distances(seen).max() if seen else 0.0)
    judge_distribution(finding, now.quantiles, [*before["quantiles"]], noise)
    if seen and len(now.quantiles):
        lowest, highest = min(sample[0] for sample in seen), max(sample[-1] for sample in seen)
        # a number that grows from week to week is beyond the examples by little
        margin, values = highest - lowest, np.asarray(now.quantiles)
        finding["outside"] = float(np.mean((values < lowest - margin) | (values > highest + margin))) - MOST
    return finding


SAID = {
    "candidates": (
        "about as many candidates a person as on other nights",
        "generators propose less, or candidates of many people are missing: their lists hold what is left",
        "compare `candidate_sources` and `candidates` with those of the night before, by platform and generator",
    ),
    "missing": (
        "no feature missing in many more candidates than on other nights",
        "a source or a join behind the feature is gone, and the model reads the feature as unknown",
        "look at the columns behind it, from `candidates.sql` down to the loads",
    ),
    "commonest": (
        "no feature with one value in many more candidates than on other nights",
        "a constant feature ranks nothing, and often means a join that no longer matches",
        "look at the columns behind it, from `candidates.sql` down to the loads",
    ),
    "distribution": (
        "no feature with other values than on other nights (the largest distance of distributions)",
        "a unit, a scale or a meaning changed: what the model learned from the older values is wrong for these",
        "compare its quantiles by as_of in `candidates`; see whether a source changed its unit",
    ),
    "outside": (
        "features with values as the model knows them (at most half of a feature's values far beyond all examples)",
        "of values beyond its examples a model knows nothing, and what it says of them is arbitrary",
        "compare its quantiles in `candidates` and `training_examples`; see whether a source changed its unit",
    ),
    "empty": (
        "a value in some candidate for each feature that most examples have",
        "the model counts on the feature, and reads it as unknown for everybody",
        "look at the columns behind it, from `candidates.sql` down to the loads",
    ),
}


def suite(*, accepted: bool = False) -> gx.ExpectationSuite:
    """Rules over `frame`. ``accepted``: a person looked at the candidates and found them right, so all of it warns."""
    return suite_over("features", SAID, learned=DRIFT, few="nights", accepted=accepted)
