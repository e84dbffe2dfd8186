"""`python -m tests.bench.gates`: what becomes of corruptions, and of clean nights.

Three steady platforms run thirty clean nights. On the next night their warehouses are corrupted, each corruption on a copy of what
the clean nights left; the night's own steps run and say what becomes of it. What gets through is run to its lists, which are compared
with those of the clean night. What comes through is named: it is what is to be mended next.
"""

import json
import tempfile
import time
from argparse import ArgumentParser, Namespace
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from datetime import date, timedelta
from pathlib import Path
from random import Random

from rich.console import Console
from rich.progress import track

from dags.steps.merge.held_loads import decide
from dags.steps.night import Night
from expectations.gate import GateResult
from tests.bench.corruptions import Corruption, drawn, named
from tests.bench.judged import Judge, complaints
from tests.bench.measured import save
from tests.bench.nights import LINK, MERGE, StepFailed, night_of, run_steps
from tests.bench.outcomes import CleanLoad, Outcome, figures, write_outcomes
from tests.bench.steady import CLEAN_NIGHTS, FIRST_NIGHT, Shape, arrive, build_steady

BENCH_NIGHT = Shape().bench_night
CLEAN = "clean_nights.json"  # beside the nights, in the home that has them
console = Console()


def batches(corruptions: Iterable[Corruption], seed: int, *, alone: bool) -> list[list[Corruption]]:
    """The corruptions in an order by chance, so that a part of them is a sample of all; one of each platform together."""
    waiting: dict[str, list[Corruption]] = defaultdict(list)
    for corruption in corruptions:
        waiting[corruption.sheet.platform].append(corruption)
    for name in sorted(waiting):
        Random(seed).shuffle(waiting[name])
    if alone:
        return [[corruption] for name in sorted(waiting) for corruption in waiting[name]]
    longest = max(map(len, waiting.values()), default=0)
    return [
        [waiting[name][number] for name in sorted(waiting) if number < len(waiting[name])] for number in range(longest)
    ]


def make_home(home: Path, count: int = CLEAN_NIGHTS) -> list[CleanLoad]:
    """Build the platforms in ``home``, and run the first night and the clean ones after it; one row per load of a clean night.

    The platforms are left as the night after these meets them.
    """
    build_steady(home / "demo")
    rows: list[CleanLoad] = []
    for as_of in track(
        [FIRST_NIGHT + timedelta(number) for number in range(count + 1)], "clean nights", console=console
    ):
        arrive(home / "demo", as_of)
        found = clean_night(night_of(home, as_of))
        rows += found if as_of > FIRST_NIGHT else []
        (home / CLEAN).write_text(json.dumps(rows, indent=1) + "\n")
        console.print(f"{as_of}: {sum(bool(row['held']) for row in rows)} loads held so far", markup=False)
    arrive(home / "demo", FIRST_NIGHT + timedelta(count + 1))
    return rows


def clean_night(night: Night) -> list[CleanLoad]:
    """Run a clean night to its identities; one row per platform. What is held is counted, and then accepted as a person would.

    Otherwise the platform would go on with old data, and every later night would be held too.
    """
    stopped = ""
    try:
        run_steps(night, MERGE)
    except StepFailed as failed:
        stopped = f"{failed.step}: {failed.because}"
    rows = [clean_row(night, platform, stopped) for platform in night.platforms]
    held = [str(row["platform"]) for row in rows if row["held"]]
    for platform in held:
        decide(night, platform, "accept", "the bench", "nothing is wrong with it")
    run_steps(night, [*(MERGE if held else ()), *LINK])
    return rows


def clean_row(night: Night, platform: str, stopped: str = "") -> CleanLoad:
    results = [night.find(GateResult, f"{gate}-{platform}") for gate in ("loads", "contents")]
    held = {result.gate: [*result.reasons] for result in results if result and result.verdict in ("hold", "stop")}
    return {
        "night": str(night.as_of),
        "platform": platform,
        "held": held,
        "warnings": sorted(complaints(night, platform)),
        "stopped": stopped,
    }


def main() -> None:
    options = _options()
    chosen = [*named(), *drawn(options.random, options.seed)]
    chosen = [corruption for corruption in chosen if options.only in corruption.name]
    with tempfile.TemporaryDirectory(prefix="crossrec-gates-") as folder:
        home = options.home or options.keep or Path(folder) / "good"
        clean = json.loads((home / CLEAN).read_text()) if options.home else make_home(home, options.clean)
        outcomes: list[Outcome] = []
        for found in judged(home, chosen, options, Path(folder)):
            outcomes += found
            write_outcomes(outcomes, clean)  # a benchmark that is stopped has what was measured before
            for outcome in found:
                console.print(
                    f"{outcome.outcome:11} {outcome.where:15} {outcome.name}: {outcome.because[:120]}", markup=False
                )
    write_outcomes(outcomes, clean)
    save("bench-gates", figures(outcomes, clean))


def _options() -> Namespace:
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="", help="corruptions with these words in their name")
    parser.add_argument("--random", type=int, default=60, help="so many corruptions by chance, beside the named ones")
    parser.add_argument("--seed", type=int, default=17)
    parser.add_argument("--minutes", type=float, default=None, help="stop after so long, with what was judged by then")
    parser.add_argument("--clean", type=int, default=CLEAN_NIGHTS, help="clean nights in a row")
    parser.add_argument("--alone", action="store_true", help="one corruption in a run, not one of each platform")
    parser.add_argument("--processes", type=int, default=1, help="so many runs at a time, each on a copy of its own")
    parser.add_argument("--keep", type=Path, help="a folder to leave the home with the clean nights in")
    parser.add_argument("--home", type=Path, help="a home that --keep left, which stays as it is")
    return parser.parse_args()


def judged(home: Path, chosen: Sequence[Corruption], options: Namespace, scratch: Path) -> Iterator[list[Outcome]]:
    """The outcomes of one batch after another."""
    ends = time.monotonic() + options.minutes * 60 if options.minutes else float("inf")
    made = batches(chosen, options.seed, alone=options.alone)
    as_of = _night_after(home)
    with ProcessPoolExecutor(options.processes, initializer=_begin, initargs=(home, as_of, scratch, ends)) as processes:
        yield from track(processes.map(_judge, made), "corruptions", total=len(made), console=console)


_judge_of_process: Judge
_ends = float("inf")


def _begin(home: Path, as_of: date, scratch: Path, ends: float) -> None:
    """Give this process a judge with a folder of its own: judging needs the clean night, which is run once."""
    global _judge_of_process, _ends
    folder = Path(tempfile.mkdtemp(prefix="judge-", dir=scratch))
    _judge_of_process, _ends = Judge(home, as_of, folder), ends


def _judge(batch: list[Corruption]) -> list[Outcome]:
    if time.monotonic() > _ends:
        return []
    return _judge_of_process.judge(batch)


def _night_after(home: Path) -> date:
    rows = json.loads((home / CLEAN).read_text())
    return date.fromisoformat(max(row["night"] for row in rows)) + timedelta(1)


if __name__ == "__main__":
    main()
