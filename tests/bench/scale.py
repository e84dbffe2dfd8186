"""`python -m tests.bench.scale`: two nights on generated platforms of growing size, with time and memory of each step.

Each size has a hundredth as many persons as events and as many platforms. The first night brings all history but one day, the second
one that day.
"""

import os
import re
import subprocess
import sys
import tempfile
import time
from argparse import ArgumentParser
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

from matplotlib.figure import Figure
from rich.console import Console

from tests.bench.measured import ROOT, Measured, run, save

PLOT = ROOT / "docs" / "images" / "scale.png"
ENDS = date(2001, 1, 1)
PERSON_EVENTS = 100  # events for each person
ITEM_PERSONS = 5  # persons for each product
# million events: what issue 18 asks of the first and the second night, seconds and gigabytes
BARS = {
    (10.0, "first"): (900, 8),
    (10.0, "second"): (300, 6),
    (50.0, "first"): (None, 20),
    (50.0, "second"): (3600, 20),
}
DONE = re.compile(r"done\t(\w+)(?: \[.*\])?  ([0-9.]+) s")
console = Console()


@dataclass(frozen=True)
class Night:
    """One night at one size. seconds and gigabytes are by step; ``failed`` names the step at which it ended, if it did not finish."""

    millions: float
    which: str
    total: float
    peak: float
    seconds: dict[str, float]
    gigabytes: dict[str, float]
    failed: str = ""


def measured_nights(millions: float, folder: Path) -> Iterator[Night]:
    """Generate platforms, and run a first and a second night on them; no second one after a red night."""
    world, home = folder / f"world-{millions:g}", folder / f"home-{millions:g}"
    events = round(millions * 1_000_000)
    sizes = {"persons": events // PERSON_EVENTS, "events": events, "items": events // PERSON_EVENTS // ITEM_PERSONS}
    crossrec = [sys.executable, "-m", "dags.cli"]
    options = [part for name, size in sizes.items() for part in (f"--{name}", str(size))]
    subprocess.run([*crossrec, "simulate", str(world), *options], cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("CROSSREC_")}
    environment |= _exported(world / "environment.sh") | {"CROSSREC_HOME": str(home)}
    for which, as_of in (("first", ENDS - timedelta(1)), ("second", ENDS)):
        progress, started = home / "logs" / f"nightly-{as_of}.progress", time.monotonic()
        command = [*crossrec, "nightly", "--date", as_of.isoformat()]
        failed, peaks, total = "", {}, 0.0
        try:
            ran = run(command, environment, folder / f"{which}-{millions:g}.log", lambda path=progress: _step(path))
            peaks, total = dict(ran.peak_by_step), ran.seconds
        except subprocess.CalledProcessError:
            failed, total = _step(progress), time.monotonic() - started
        yield Night(millions, which, total, max(peaks.values(), default=0.0), _seconds(progress), peaks, failed)
        if failed:
            return


def _exported(script: Path) -> dict[str, str]:
    return dict(re.findall(r"^export (\w+)='(.*)'$", script.read_text(), re.MULTILINE))


def _step(progress: Path) -> str:
    """The step that runs, by the night's file of progress; nothing before the first one."""
    if not progress.exists():
        return ""
    begun = [line for line in progress.read_text().splitlines() if line.startswith("task\t")]
    return begun[-1].removeprefix("task\t").partition(" [")[0] if begun else ""


def _seconds(progress: Path) -> dict[str, float]:
    """Seconds of each step that ended, those of its platforms or shards together."""
    found: dict[str, float] = defaultdict(float)
    if progress.exists():
        for step, seconds in DONE.findall(progress.read_text()):
            found[step] += float(seconds)
    return dict(found)


def figures(nights: Sequence[Night]) -> list[Measured]:
    """Time and memory of each night, and its three dearest steps; and how both grow with the size."""
    rows = []
    for night in nights:
        name = f"{night.millions:g} million events, {night.which} night"
        seconds, gigabytes = BARS.get((night.millions, night.which), (None, None))
        end = f"red at {night.failed}" if night.failed else _dearest(night)
        rows.append(Measured(name, night.total, "s", seconds, end))
        rows.append(Measured(f"{name}, peak memory", night.peak, "GB", gigabytes))
    for which in ("first", "second"):
        of = {night.millions: night for night in nights if night.which == which and not night.failed}
        for size in sorted(of):
            if size * 10 in of:
                small, large = of[size], of[size * 10]
                what = f"{which} night, from {size:g} to {size * 10:g} million events"
                rows.append(Measured(f"{what}: time", large.total / small.total, "times", 11))
                rows.append(Measured(f"{what}: memory", large.peak / small.peak, "times", 3))
    return rows


def _dearest(night: Night) -> str:
    dearest = sorted(night.seconds, key=lambda step: -night.seconds[step])[:3]
    return ", ".join(f"{step} {night.seconds[step]:.0f} s" for step in dearest)


def plot(nights: Sequence[Night], path: Path = PLOT) -> None:
    """Time and memory of each step against the number of events, both axes logarithmic; the first night above the second."""
    figure = Figure(figsize=(12, 9), layout="constrained")
    axes = figure.subplots(2, 2, squeeze=False)
    for row, which in zip(axes, ("first", "second"), strict=True):
        those = [night for night in nights if night.which == which]
        for axis, unit in zip(row, ("seconds", "gigabytes"), strict=True):
            largest = max(those, key=lambda night: night.millions, default=None)
            steps = (
                sorted(getattr(largest, unit), key=lambda step: -getattr(largest, unit)[step])[:8] if largest else []
            )
            for step in steps:
                points = [(night.millions, value) for night in those if (value := getattr(night, unit).get(step))]
                axis.plot(*zip(*points, strict=True), marker="o", label=step)
            whole = [(night.millions, night.total if unit == "seconds" else night.peak) for night in those]
            if whole:
                axis.plot(*zip(*whole, strict=True), marker="o", color="black", linewidth=2, label="whole night")
                axis.legend(fontsize=8)
            axis.set(xscale="log", yscale="log", xlabel="million events", ylabel=unit, title=f"{which} night")
            axis.grid(alpha=0.3)
    figure.savefig(path, dpi=90)


def main() -> None:
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("--millions", type=float, nargs="+", default=[1, 3, 10, 30], help="million events of each size")
    parser.add_argument("--folder", type=Path, help="where to leave platforms, homes and logs")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="crossrec-scale-") as scratch:
        folder = options.folder or Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        nights: list[Night] = []
        for millions in options.millions:
            for night in measured_nights(millions, folder):
                nights.append(night)
                console.print(
                    f"{night.millions:g} million, {night.which}: {night.total:.0f} s, {night.peak:.1f} GB {night.failed}"
                )
                save("bench-scale", figures(nights))
                plot(nights)


if __name__ == "__main__":
    main()
