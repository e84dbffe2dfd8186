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
from dataclasses import dataclass
from datetime import date, timedelta
from functools import cached_property
from multiprocessing import get_context
from pathlib import Path
from random import Random

from rich.console import Console
from rich.progress import track

from dags.steps.merge.held_loads import decide
from dags.steps.night import Night
from expectations.gate import GateResult
from tests.bench.corruptions import Corruption, drawn, named
from tests.bench.damaged import Damaged
from tests.bench.damages import Damage, damages
from tests.bench.effects import Effects, learned_home
from tests.bench.judged import Judge, complaints
from tests.bench.measured import save
from tests.bench.nights import LINK, MERGE, StepFailed, night_of, run_steps
from tests.bench.outcomes import OUTCOMES, CleanLoad, Outcome, figures, read_outcomes, write_outcomes
from tests.bench.steady import CLEAN_NIGHTS, FIRST_NIGHT, arrive, build_steady

CLEAN = "clean_nights.json"  # beside the nights, in the home that has them
console = Console()


def batches(corruptions: Iterable[Corruption], seed: int, *, alone: bool) -> list[list[Corruption]]:
    """The corruptions in an order by chance, so that a part of them is a sample of all; one of each platform together.

    Harmless changes are together with harmless ones: a platform's amounts are judged beside those of the others.
    """
    waiting: dict[tuple[bool, str], list[Corruption]] = defaultdict(list)
    for corruption in corruptions:
        waiting[corruption.expected == "harmless", corruption.sheet.platform].append(corruption)
    for _, those in sorted(waiting.items()):
        Random(seed).shuffle(those)
    if alone:
        return [[corruption] for _, those in sorted(waiting.items()) for corruption in those]
    made = [
        [those[number] for (harmless, _), those in sorted(waiting.items()) if harmless == kind and number < len(those)]
        for kind in (False, True)
        for number in range(max(map(len, waiting.values()), default=0))
    ]
    made = [batch for batch in made if batch]
    Random(seed).shuffle(made)
    return made


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
        known = read_outcomes(OUTCOMES) if options.resume else []
        outcomes = {outcome.name: outcome for outcome in known}
        for found in judged(home, chosen, known, options, Path(folder)):
            outcomes[found.name] = found
            write_outcomes([*outcomes.values()], clean)  # a benchmark that is stopped has what was measured before
            console.print(_told(found), markup=False)
    save("bench-gates", figures([*outcomes.values()], clean))


def _told(outcome: Outcome) -> str:
    effect = (
        "" if outcome.lists_changed is None else f"; {outcome.lists_changed:.1%} of lists, hits x {outcome.hits:.2f}"
    )
    return f"{outcome.outcome:11} {outcome.where:15} {outcome.name}: {outcome.because[:120]}{effect}"


def _options() -> Namespace:
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="", help="corruptions with these words in their name")
    parser.add_argument("--random", type=int, default=60, help="so many corruptions by chance, beside the named ones")
    parser.add_argument("--seed", type=int, default=17)
    parser.add_argument("--minutes", type=float, default=None, help="stop after so long, with what was judged by then")
    parser.add_argument("--clean", type=int, default=CLEAN_NIGHTS, help="clean nights in a row")
    parser.add_argument("--alone", action="store_true", help="one corruption in a run, not one of each platform")
    parser.add_argument(
        "--no-effects",
        dest="effects",
        action="store_false",
        help="corrupt sources alone, and make no lists of what got through",
    )
    parser.add_argument("--processes", type=int, default=1, help="so many runs at a time, each on a copy of its own")
    parser.add_argument("--resume", action="store_true", help="go on with the outcomes of a run that was stopped")
    parser.add_argument("--keep", type=Path, help="a folder to leave the home with the clean nights in")
    parser.add_argument("--home", type=Path, help="a home that --keep left, which stays as it is")
    return parser.parse_args()


def judged(
    home: Path, chosen: Sequence[Corruption], known: Sequence[Outcome], options: Namespace, scratch: Path
) -> Iterator[Outcome]:
    """The outcome of each corruption that is not ``known``; and then once more, with its effect on the lists, of each that got through."""
    ends = time.monotonic() + options.minutes * 60 if options.minutes else float("inf")
    names, as_of = {outcome.name for outcome in known}, night_after(home)
    made = batches((each for each in chosen if each.name not in names), options.seed, alone=options.alone)
    if options.effects:
        learned_home(home, as_of - timedelta(1))
    pool = ProcessPoolExecutor(
        options.processes, get_context("spawn"), initializer=_begin, initargs=(home, as_of, scratch, ends)
    )
    with pool as processes:
        outcomes = [*known]
        for found in track(processes.map(_judge, made), "corruptions", total=len(made), console=console):
            outcomes += found
            yield from found
        if options.effects:
            by_name = {corruption.name: corruption for corruption in chosen}
            through = [(each, by_name[each.name]) for each in outcomes if each.name in by_name and is_unmeasured(each)]
            yield from track(processes.map(_effect, through), "effects", total=len(through), console=console)
            behind = [each for each in damages() if options.only in each.name and each.name not in names]
            for found in track(processes.map(_damage, behind), "between steps", total=len(behind), console=console):
                yield from found


def is_unmeasured(outcome: Outcome) -> bool:
    """Whether it got through, and nobody has seen yet what that does to the lists."""
    return outcome.expected == "caught" and outcome.reached_lists and outcome.lists_changed is None


@dataclass
class _Work:
    """What a process of the pool judges with, in a folder of its own."""

    home: Path
    as_of: date
    scratch: Path
    ends: float

    @cached_property
    def judge(self) -> Judge:
        return Judge(self.home, self.as_of, self.scratch)

    @cached_property
    def effects(self) -> Effects:
        return Effects(self.home, self.as_of, self.scratch)

    @cached_property
    def damaged(self) -> Damaged:
        home = learned_home(self.home, self.as_of - timedelta(1))
        return Damaged(home, self.as_of, self.scratch, damages())

    @property
    def is_over(self) -> bool:
        return time.monotonic() > self.ends


_work: _Work


def _begin(home: Path, as_of: date, scratch: Path, ends: float) -> None:
    global _work
    _work = _Work(home, as_of, Path(tempfile.mkdtemp(prefix="judge-", dir=scratch)), ends)


def _judge(batch: list[Corruption]) -> list[Outcome]:
    return [] if _work.is_over else _work.judge.judge(batch)


def _effect(through: tuple[Outcome, Corruption]) -> Outcome:
    outcome, corruption = through
    return outcome if _work.is_over else _work.effects.with_effect(outcome, corruption)


def _damage(damage: Damage) -> list[Outcome]:
    return [] if _work.is_over else [_work.damaged.judge(damage)]


def night_after(home: Path) -> date:
    rows = json.loads((home / CLEAN).read_text())
    return date.fromisoformat(max(row["night"] for row in rows)) + timedelta(1)


if __name__ == "__main__":
    main()
