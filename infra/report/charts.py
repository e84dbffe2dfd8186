"""Charts as inline SVG: drawn by matplotlib, coloured and set in type by the page's own style sheet.

Each is a small panel that stays readable at the width of a phone. The same facts give the same bytes.
"""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from expectations.gate import GateResult
from infra.report.facts import ComparedPair, LinkedFrom, MetricPoint, PlatformFunnel, Taste
from infra.report.names import LEARNED, contender_name
from infra.report.night import NightSummary

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDTH = 3.5
LARGEST_SCALE = 1.5

# Stand-ins that matplotlib draws with; the page gives each its colour, one for light and one for dark surroundings.
COLOURS = {
    "#000001": "ink",
    "#000002": "muted",
    "#000003": "line",
    "#000004": "accent",
    "#000005": "accent-soft",
    "#000006": "second",
    "#000007": "third",
    "#000008": "fourth",
    "#000009": "fifth",
    "#00000a": "sixth",
    "#00000b": "pass",
    "#00000c": "warn",
    "#00000d": "stop",
}
INK, MUTED, LINE, ACCENT, ACCENT_SOFT, SECOND, THIRD, FOURTH, FIFTH, SIXTH, PASS, WARN, STOP = COLOURS
STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "text.parse_math": False,
    "font.family": "sans-serif",
    "font.size": 9,
    "xtick.labelsize": 8.5,
    "ytick.labelsize": 9,
    "text.color": INK,
    "axes.labelcolor": MUTED,
    "axes.edgecolor": LINE,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.spines.left": False,
    "axes.axisbelow": True,
    "grid.color": LINE,
    "grid.linewidth": 0.6,
    "xtick.color": LINE,
    "xtick.labelcolor": MUTED,
    "ytick.color": LINE,
    "ytick.labelcolor": INK,
    "ytick.left": False,
    "figure.facecolor": "none",
    "axes.facecolor": "none",
}
FUNNEL_ROWS = {"raw_rows": "rows read", "staged_rows": "understood", "interactions": "interactions"}
FUNNEL_LISTS = {"accounts": "accounts", "lists": "lists made", "written_back": "written back"}


def colour_of(contender: str, contenders: Sequence[str]) -> str:
    """The models in the accent colour, each baseline in one of its own."""
    if contender in LEARNED:
        return ACCENT if contender == LEARNED[0] or LEARNED[0] not in contenders else ACCENT_SOFT
    baselines = [name for name in contenders if name not in LEARNED]
    return (SECOND, THIRD, FOURTH, FIFTH, SIXTH)[baselines.index(contender) % 5]


def funnel(platform: PlatformFunnel, platforms: Sequence[PlatformFunnel]) -> Markup:
    """Bars of one platform's counts, on scales that all platforms share."""
    with _figure(f"funnel {platform.platform}", 2.1, platform.platform) as (figure, out):
        upper, lower = figure.subplots(2, 1)
        for axes, stages, colour in ((upper, FUNNEL_ROWS, ACCENT), (lower, FUNNEL_LISTS, SECOND)):
            largest = max((getattr(each, field) or 0 for each in platforms for field in stages), default=0) or 1
            _bars(axes, list(stages.values()), [getattr(platform, field) for field in stages], largest, colour)
        figure.subplots_adjust(left=0.26, right=0.82, top=0.99, bottom=0.01, hspace=0.12)
    return out[0]


def gates(results: Sequence[GateResult]) -> Markup:
    """Checks of every gate by how they came out."""
    with _figure("gates", 0.3 + 0.3 * len(results), "checks of every gate", 4.3) as (figure, out):
        axes = figure.subplots()
        for place, gate in enumerate(results):
            left = 0
            outcomes = [(len(gate.held), PASS)]
            outcomes += [
                (sum(c.severity == s for c in gate.failed), hue) for s, hue in (("warn", WARN), ("stop", STOP))
            ]
            for count, hue in outcomes:
                axes.barh(place, count, left=left, height=0.62, color=hue)
                left += count
            failed = len(gate.failed)
            words = f"{len(gate.checks)} held" if not failed else f"{failed} of {len(gate.checks)} did not hold"
            hue = {"pass": MUTED, "warn": WARN, "hold": WARN, "stop": STOP}[gate.verdict]
            axes.annotate(words, (left, place), (5, 0), textcoords="offset points", va="center", color=hue)
        names = [" · ".join(filter(None, (gate.gate.replace("_", " "), gate.platform))) for gate in results]
        _rows(axes, names, max((len(gate.checks) for gate in results), default=1))
        figure.subplots_adjust(left=0.4, right=0.7, top=1, bottom=0.01)
    return out[0]


def metric_intervals(summary: NightSummary, metric: str, platform: str = "all") -> Markup:
    """One metric: a dot per contender and a bar over its interval."""
    standing, contenders = summary.standing(metric, platform), summary.contenders()
    shown = [name for name in contenders if name in standing.rows]
    with _figure(f"{metric} {platform}", 0.55 + 0.3 * len(shown), metric) as (figure, out):
        axes = figure.subplots()
        for place, name in enumerate(shown):
            row, hue = standing.rows[name], colour_of(name, contenders)
            if row.low is not None and row.high is not None:
                axes.plot([row.low, row.high], [place, place], color=hue, linewidth=2.4, solid_capstyle="round")
            axes.plot([row.value], [place], "o", color=hue, markersize=6.5)
            mark = " ★" if name == standing.best else " ≈" if name in standing.tied else ""
            axes.annotate(f"{row.value:.4f}{mark}", (1.03, place), xycoords=("axes fraction", "data"), va="center")
        axes.margins(x=0.08)
        axes.set_ylim(len(shown) - 0.4, -0.6)
        axes.set_yticks(range(len(shown)), [contender_name(name) for name in shown])
        axes.grid(axis="x")
        axes.locator_params(axis="x", nbins=3)
        axes.ticklabel_format(axis="x", useOffset=False)
        figure.subplots_adjust(left=0.3, right=0.8, top=0.99, bottom=0.3 / (0.55 + 0.3 * len(shown)))
    return out[0]


def metric_by_night(points: Sequence[MetricPoint], metric: str, contenders: Sequence[str]) -> Markup:
    """One metric over the nights, a line per contender, named where it ends."""
    nights = sorted({point.as_of for point in points if point.metric == metric})
    with _figure(f"{metric} by night", 2.4, f"{metric} by night", 4.0) as (figure, out):
        axes = figure.subplots()
        ends = []
        for name in contenders:
            mine = sorted((p for p in points if (p.contender, p.metric) == (name, metric)), key=lambda p: p.as_of)
            if mine:
                hue = colour_of(name, contenders)
                width = 2.2 if hue == ACCENT else 1.4
                days = [point.as_of.toordinal() for point in mine]
                axes.plot(days, [point.value for point in mine], color=hue, linewidth=width, marker="o", markersize=3)
                ends.append((mine[-1].value, name, hue))
        _name_ends(axes, [(height, contender_name(name), hue) for height, name, hue in sorted(ends)])
        ticks = list(dict.fromkeys(nights[round(part * (len(nights) - 1) / 3)] for part in range(4)))
        axes.set_xticks([night.toordinal() for night in ticks], [f"{night.day} {night:%b}" for night in ticks])
        axes.grid(axis="y")
        axes.tick_params(axis="y", labelcolor=MUTED)
        axes.locator_params(axis="y", nbins=5)
        figure.subplots_adjust(left=0.13, right=0.73, top=0.96, bottom=0.12)
    return out[0]


def taste(shares: Sequence[Taste], person: str) -> Markup:
    """Bars of a person's categories."""
    with _figure(f"taste {person}", 0.1 + 0.26 * len(shares), "taste by category") as (figure, out):
        axes = figure.subplots()
        values = [share.share for share in shares]
        _bars(axes, [share.category for share in shares], values, max(values), ACCENT, "{:.0%}")
        figure.subplots_adjust(left=0.34, right=0.86, top=1, bottom=0.01)
    return out[0]


def waterfall(pair: ComparedPair) -> Markup:
    """Match weights of a pair, each bar starting where the one before ended; the line is even odds."""
    steps = [("any two", pair.start), *pair.steps]
    height = 0.35 + 0.24 * len(steps)
    with _figure(f"waterfall {pair.left} {pair.right}", height, "match weights of a pair", 4.3) as (figure, out):
        axes = figure.subplots()
        total, ends = 0.0, [0.0]
        for place, (_, weight) in enumerate(steps):
            axes.barh(place, weight, left=total, height=0.62, color=PASS if weight > 0 else STOP)
            total += weight
            ends.append(total)
            axes.annotate(f"{weight:+.1f}", (1.02, place), xycoords=("axes fraction", "data"), va="center", color=MUTED)
        _rows(axes, [name.replace("_", " ") for name, _ in steps], 1)
        axes.set_xlim(min(ends) - 1, max(ends) + 1)
        axes.axvline(0, color=INK, linewidth=0.8)
        figure.subplots_adjust(left=0.28, right=0.88, top=1, bottom=0.01)
    return out[0]


def interests_alone(curve: Sequence[LinkedFrom]) -> Markup:
    """Precision and recall of linking by interests alone, by the cosine from which on; each line is named where it ends."""
    title = "precision and recall of linking by interests alone, by the cosine of interests"
    with _figure("interests alone", 2.4, title, 4.3) as (figure, out):
        axes = figure.subplots()
        cosines, ends = [point.threshold for point in curve], []
        for name, hue in (("precision", ACCENT), ("recall", SECOND)):
            shares = [getattr(point, name) for point in curve]
            axes.plot(cosines, shares, color=hue, linewidth=1.8, marker="o", markersize=3, clip_on=False)
            ends.append((shares[-1], name, hue))
        axes.set_ylim(0, 1)
        axes.set_yticks([0, 0.25, 0.5, 0.75, 1], ["0%", "25%", "50%", "75%", "100%"])
        axes.set_xlabel("linked from this cosine on")
        axes.grid(axis="y")
        axes.tick_params(axis="y", labelcolor=MUTED)
        _name_ends(axes, sorted(ends))
        figure.subplots_adjust(left=0.12, right=0.82, top=0.96, bottom=0.2)
    return out[0]


def _bars(
    axes: Axes, names: Sequence[str], values: Sequence[float | None], largest: float, colour: str, form: str = "{:,}"
) -> None:
    for place, value in enumerate(values):
        axes.barh(place, value or 0, height=0.62, color=colour)
        words = "not counted" if value is None else form.format(value)
        axes.annotate(words, (value or 0, place), (5, 0), textcoords="offset points", va="center", color=MUTED)
    _rows(axes, names, largest)


def _rows(axes: Axes, names: Sequence[str], largest: float) -> None:
    """Names at the left, first row on top, no horizontal scale: every bar carries its own number."""
    axes.set_xlim(0, largest)
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.set_yticks(range(len(names)), names)
    axes.set_xticks([])
    axes.spines["bottom"].set_visible(False)


def _name_ends(axes: Axes, ends: Sequence[tuple[float, str, str]]) -> None:
    """Names at the right of the lines that end at these rising heights, in the lines' colours."""
    low, high = axes.get_ylim()
    places = _apart([height for height, _, _ in ends], (high - low) / 11)
    for (_, name, hue), place in zip(ends, places, strict=True):
        axes.annotate(name, (1.02, place), xycoords=("axes fraction", "data"), va="center", color=hue)


def _apart(heights: Sequence[float], distance: float) -> list[float]:
    """The rising heights, moved up just enough that no two labels overlap, then centred on where they were."""
    placed: list[float] = []
    for height in heights:
        placed.append(max(height, placed[-1] + distance) if placed else height)
    shift = sum(placed) / len(placed) - sum(heights) / len(heights) if placed else 0.0
    return [height - shift for height in placed]


@contextmanager
def _figure(name: str, height: float, title: str, width: float = WIDTH) -> Iterator[tuple[Figure, list[Markup]]]:
    """A figure to draw on; its SVG stands in the list after the block."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    finished: list[Markup] = []
    with rc_context(STYLE | {"svg.hashsalt": name}), warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # glyphs missing from a font that the page does not use
        figure = Figure(figsize=(width, height))
        yield figure, finished
        drawn = io.StringIO()
        figure.savefig(drawn, format="svg", metadata={"Date": None})
    finished.append(_inline(drawn.getvalue(), title))


def _inline(svg: str, title: str) -> Markup:
    """What remains of an SVG file inside a page: no prologue, no addresses, the page's own colours, type and width."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>\s*", "", svg, flags=re.DOTALL)
    svg = re.sub(r' xmlns(:\w+)?="[^"]*"', "", svg).replace("xlink:href", "href")
    svg = re.sub(r'<g id="[^"]*"', "<g", svg)
    view = re.search(r'viewBox="0 0 ([0-9.]+) [^"]*"', svg)
    assert view is not None
    label, width = Markup.escape(title), round(float(view.group(1)) * LARGEST_SCALE)
    opening = f'<svg {view.group()} role="img" aria-label="{label}" style="max-width: {width}px">'
    svg = re.sub(r"<svg[^>]*>", opening, svg, count=1)
    svg = re.sub(r"<style.*?</style>\s*", "", svg, flags=re.DOTALL)
    svg = re.sub(r"font-family: [^;\"]*;? ?", "", svg)
    for stand_in, name in COLOURS.items():
        svg = svg.replace(stand_in, f"var(--{name})")
    return Markup(svg)
