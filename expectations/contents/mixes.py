"""Mixes: all buckets of a metric together."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from expectations.contents.metrics import Metric
from expectations.contents.shares import Compared, share_of
from expectations.contents.usual import (
    FEWEST_DAYS,
    STOP_DISTANCE,
    WARN_DISTANCE,
    Finding,
    Floats,
    Limits,
    Usual,
    chances,
    spread_of,
)

FEWEST_ROWS = 10  # fewer are no mix, and often of one account: their number is judged, and their shares


def mix_of(compared: Compared, metric: Metric, limits: Limits, wider: float) -> Iterable[Finding]:
    """Three comparisons: the share of buckets never seen, the share without a value, the distance of all together."""
    pooled = compared.past.sum(axis=0)
    elsewhere = pooled - compared.past  # what the other days have
    unseen = np.where(elsewhere > 0, 0.0, compared.past).sum(axis=1)
    new = float(compared.tonight[pooled <= 0].sum())
    if metric.unseen:
        yield share_of(compared, metric, f"{metric.words}: never seen", new, unseen, limits, wider, rises=True)
    if "(none)" in compared.buckets:
        yield share_of(compared, metric, f"{metric.words}: none", *compared.at("(none)"), limits, wider)
    yield from _distance(compared, metric, elsewhere, limits, wider)


def _distance(compared: Compared, metric: Metric, elsewhere: Floats, limits: Limits, wider: float) -> Iterable[Finding]:
    """How far tonight is from all past days, beside how far each day is from the others.

    A small sample is far from anything: what chance explains is taken off.
    """
    from scipy.spatial.distance import jensenshannon
    from scipy.stats import chi2

    comparable = elsewhere.sum(axis=1) > 0
    if comparable.sum() < FEWEST_DAYS:
        return
    past, pooled, tonight = compared.past[comparable], compared.past.sum(axis=0), compared.tonight
    shares = pooled / pooled.sum()
    sizes, size = past.sum(axis=1), float(tonight.sum())
    fewer = max(1.0, float(np.sqrt(np.median(sizes) / size)))
    divergences = np.asarray(jensenshannon(past, elsewhere[comparable], axis=1)) ** 2
    by_chance = np.array([_divergence_by_chance(shares, each) for each in sizes])
    left = np.maximum(0.0, divergences - by_chance)
    distances = _without_end(left)
    centre = float(np.median(distances))
    usual = Usual(centre, spread_of(distances), len(distances), distances - centre)

    expected = _divergence_by_chance((pooled + tonight) / (pooled + tonight).sum(), size)
    divergence = float(jensenshannon(tonight, pooled)) ** 2
    distance, whole_distance = _without_end(np.array([max(0.0, divergence - expected), divergence]))
    degrees, reached = max(1.0, 8 * size * expected), []
    information = _information(tonight, pooled)
    for chance, floor in zip(chances(limits), (WARN_DISTANCE, STOP_DISTANCE), strict=True):
        sampled = float(chi2.isf(chance, degrees)) / (8 * size)
        bound = float(np.sqrt(((centre + usual.bound(chance)) * fewer) ** 2 + sampled))
        reached.append(
            min(
                whole_distance / (bound * wider),
                distance / (floor * metric.floor * wider),
                information / -float(np.log(chance)),
            )
        )
    warns, stops = (float(each) for each in reached)

    moved = int(np.argmax(np.abs(tonight / tonight.sum() - shares)))
    what = compared.buckets[moved] if metric.named else "one of them"
    found, usually = np.sqrt(max(0.0, divergence - expected)), np.sqrt(np.quantile(left, 0.9))
    text = (
        f"{metric.words} differ by {found:.2f}, usual up to {usually:.2f}; most: {what}"
        f" {tonight[moved] / tonight.sum():.1%}, usual {shares[moved]:.1%}"
    )
    only_warns = metric.warns or len(distances) < limits.min_history_days or size < FEWEST_ROWS
    yield Finding(metric.name, metric.family, text, 0.0 if only_warns else stops, max(warns, stops))


def _information(tonight: Floats, pooled: Floats) -> float:
    """How unlikely it is to draw tonight's rows from what is usual, in nats (Sanov 1957): a handful of rows proves nothing."""
    from scipy.special import rel_entr

    usual = (pooled + 0.5) / (pooled + 0.5).sum()
    return float(tonight.sum() * rel_entr(tonight / tonight.sum(), usual).sum())


def _without_end(divergences: Floats) -> Floats:
    """The root of Jensen-Shannon divergences, on a scale that two mixes without a common bucket reach only at infinity.

    The root itself ends at .83, where learned bounds may lie. What is small stays as it is.
    """
    most = float(np.log(2))
    with np.errstate(divide="ignore"):
        stretched: Floats = np.sqrt(-most * np.log1p(-np.minimum(divergences / most, 1.0)))
    return stretched


def _divergence_by_chance(shares: Floats, size: float) -> float:
    """The Jensen-Shannon divergence that a sample of ``size`` has by chance: 1/(8n) a bucket, less for the rarest ones.

    A bucket of which the sample has hardly a row adds at most ln 2 times its share.
    """
    size = max(size, 1e-9)
    buckets = float(np.minimum(1.0, 8 * np.log(2) * size * shares).sum())
    return max(0.0, buckets - 1) / (8 * size)
