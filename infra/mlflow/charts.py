"""Charts of training, tuning and linkage, as artifacts of their runs."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator


def match_weights(settings: Mapping[str, Any]) -> Figure:
    """The match weight in bits of each level of each comparison of a linkage model. `settings` are Splink's own."""
    bars = [
        (
            f"{comparison['output_column_name']}: {level['label_for_charts']}",
            math.log2(level["m_probability"] / level["u_probability"]),
        )
        for comparison in settings["comparisons"]
        for level in comparison["comparison_levels"]
        if not level.get("is_null_level")
    ]
    prior = settings["probability_two_random_records_match"]
    bars.insert(0, ("two random records", math.log2(prior / (1 - prior))))
    names, weights = zip(*reversed(bars), strict=True)
    figure = Figure(figsize=(9, 0.28 * len(bars) + 1), layout="constrained")
    axes = figure.subplots()
    axes.barh(names, weights, color=["#2e7d5b" if weight > 0 else "#b3432b" for weight in weights])
    axes.axvline(0, color="black", linewidth=0.8)
    axes.set(xlabel="match weight, bits", title="What each agreement tells")
    axes.tick_params(axis="y", labelsize=7)
    return figure


def precision_recall_curve(curve: pa.Table) -> Figure:
    """Precision and recall by `threshold`."""
    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.subplots()
    for name in ("precision", "recall"):
        axes.plot(curve["threshold"], curve[name], label=name, marker="o", markersize=3)
    axes.set(
        xlabel="cosine of interests from which two accounts would be linked",
        ylim=(-0.02, 1.02),
        title="Interests alone",
    )
    axes.legend()
    axes.grid(alpha=0.3)
    return figure


def loss_curves(history: Sequence[Mapping[str, float | None]]) -> Figure:
    """Every loss in `history` by epoch."""
    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.subplots()
    epochs = [int(epoch["epoch"] or 0) for epoch in history]
    for name in [name for name, value in history[0].items() if name.endswith("loss") and value is not None]:
        axes.plot(epochs, np.array([epoch[name] for epoch in history], np.float64), marker="o", label=name)
    axes.set(xlabel="epoch", ylabel="log loss", xticks=epochs)
    axes.legend()
    return figure


def trial_history(values: Sequence[float | None], name: str) -> Figure:
    """Each trial's value and the best so far. The first trial has the parameters that nights use. None: the trial failed."""
    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    trials, found = np.arange(1, len(values) + 1), np.array(values, np.float64)
    axes.axhline(found[0], color="grey", linestyle=":", label="what serves (trial 1)")
    axes.step(trials, np.fmax.accumulate(found), where="post", label="best so far")
    axes.plot(trials, found, "o", markersize=4, color="black", label="trial")
    axes.set(xlabel="trial", ylabel=name, title="Trials on the newest training snapshot")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.legend()
    axes.grid(alpha=0.3)
    return figure


def param_importances(shares: Mapping[str, float]) -> Figure:
    """How much each parameter decides whether a trial is among the best. The largest is on top."""
    figure = Figure(figsize=(7, 0.35 * len(shares) + 1), layout="constrained")
    axes = figure.subplots()
    names = sorted(shares, key=lambda name: shares[name])
    axes.bar_label(axes.barh(names, [shares[name] for name in names]), fmt="%.2f", padding=3)
    axes.set(
        xlabel="share", xlim=(0, 1.08 * max(shares.values())), title="What decides whether a trial is among the best"
    )
    return figure
