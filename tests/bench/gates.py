"""`python -m tests.bench.gates`: what becomes of corrupted sources, and of clean nights.

Each corruption is done to the platforms' own warehouses on one good night; then the night's own steps run, from `extract` to
`check_reconciliation`. Gates of loads look at one platform alone, so one run judges a corruption of each platform; a step that
fails for all of them runs again for each of them alone. What comes through is named: it is what is to be mended next.
"""

import json
import os
import shutil
import sys
import tempfile
import time
from argparse import ArgumentParser
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import date, timedelta
from pathlib import Path
from random import Random

import duckdb
from rich.console import Console

from dags.steps.merge.check_contents import check_contents
from dags.steps.merge.check_loads import check_loads
from dags.steps.merge.check_reconciliation import check_reconciliation
from dags.steps.merge.extract import extract
from dags.steps.merge.prepare import prepare
from dags.steps.merge.stage import stage
from dags.steps.night import Night
from dags.steps.records import Extracted
from expectations.gate import GateResult
from infra.demo import build_demo
from infra.deploy.embedded import airflow_environment
from infra.platforms import PlatformError
from infra.settings import Settings
from infra.warehouse import query
from tests.bench.bad_sources import BadSource, ChangesNothing
from tests.bench.corruptions import Corruption, Expected, Sheet, drawn, named
from tests.bench.measured import FOLDER, Measured, run, save

FIRST = date(1998, 3, 15)  # brings all history
GOOD_NIGHTS = 12  # before the night of the corruptions; the day before that one has hundreds of events of each platform
CLEAN_NIGHTS = 30
CAUGHT = ("held", "stopped", "quarantined")
OUTCOMES = FOLDER / "gates" / "outcomes.json"
console = Console()


@dataclass(frozen=True)
class Outcome:
    """What became of one corruption: where it was caught, and the reason that a person reads.

    ``outcome``: held or stopped at the step ``where``; quarantined; warned; or silent. A corrupted export is masked where it is
    held for nothing but what an export without any corruption is held for: that says nothing of the corruption.
    ``changed`` is the share of tonight's rows of the table that the corruption made or changed.
    """

    name: str
    expected: Expected
    outcome: str
    where: str = ""
    because: str = ""
    changed: float = 0.0
    lists_changed: float | None = None

    @property
    def is_caught(self) -> bool:
        return self.outcome in CAUGHT


class _Failed(RuntimeError):
    """A step that looks at all platforms failed."""

    def __init__(self, step: str, error: Exception) -> None:
        super().__init__(step, error)
        self.step, self.error = step, error


def night_of(home: Path, as_of: date) -> Night:
    settings = Settings(home=home)
    os.environ |= {name: value for name, value in airflow_environment(settings).items() if name != "PYTHONPATH"}
    return Night(as_of, "bench", settings)


def merge(night: Night) -> None:
    """The steps of a night up to the proof that nothing is lost."""
    for step in (extract, check_loads):
        for platform in night.platforms:
            step(night, platform)
    stage(night)
    for platform in night.platforms:
        check_contents(night, platform)
    prepare(night)
    check_reconciliation(night)


def complaints(night: Night, platform: str) -> set[str]:
    """What the gates of a platform's loads do not like: the rule, and the tables or metrics without their numbers."""
    results = [night.find(GateResult, f"{gate}-{platform}") for gate in ("loads", "contents")]
    failed = [check for result in results if result for check in result.failed]
    return {
        f"{check.description}: {part.split(' (')[0]}"
        for check in failed
        for part in (check.observed.split("), ") or [""])
    }


class Bench:
    """Judges corruptions on copies of ``home``, whose last good night is the one before ``as_of``."""

    def __init__(self, home: Path, as_of: date, scratch: Path) -> None:
        self.home, self.as_of, self.scratch = home, as_of, scratch
        self.of_exports: dict[str, set[str]] = {}
        clean = self._copy()
        merge(clean)
        self.usual = {platform: complaints(clean, platform) for platform in clean.platforms}
        for platform in clean.platforms:
            for gate in ("loads", "contents"):
                verdict = clean.read(GateResult, f"{gate}-{platform}").verdict
                assert verdict in ("pass", "warn"), f"the clean night of {as_of}: gate {gate} of {platform}: {verdict}"

    def judge(self, corruptions: Sequence[Corruption]) -> list[Outcome]:
        """The outcome of each; the corruptions are of different platforms."""
        night = self._copy()
        changed = {}
        for each in corruptions:
            try:
                changed[each.name] = self._corrupt(each, night.settings.home)
            except ChangesNothing as error:
                console.print(str(error), markup=False)
        corruptions = [each for each in corruptions if each.name in changed]
        try:
            found = list(self._run(night, corruptions, changed))
        except _Failed as failed:
            if len(corruptions) > 1:
                return [outcome for corruption in corruptions for outcome in self.judge([corruption])]
            [alone] = corruptions
            because = f"{type(failed.error).__name__}: {_line(str(failed.error))}"
            found = [Outcome(alone.name, alone.expected, "stopped", failed.step, because)]
        return [replace(outcome, changed=changed[outcome.name]) for outcome in found]

    def lists_changed(self, corruption: Corruption | None, clean: Path | None) -> tuple[float, Path]:
        """Run the whole night; the share of ``clean``'s lists that differ, and the file of the night's lists."""
        night = self._copy()
        if corruption:
            self._corrupt(corruption, night.settings.home)
        environment = {name: value for name, value in os.environ.items() if not name.startswith("CROSSREC_")}
        environment["CROSSREC_HOME"] = str(night.settings.home)
        command = [sys.executable, "-m", "dags.cli", "nightly", "--date", str(self.as_of), "--demo-size", "small"]
        run(command, environment, self.scratch / "night.log")
        kept = self.scratch / ("corrupted.parquet" if corruption else "clean.parquet")
        shutil.copy(night.settings.home / "lake" / "nights" / f"as_of={self.as_of}" / "lists.parquet", kept)
        return (_lists_that_differ(clean, kept) if clean else 0.0), kept

    def _copy(self, copy: Path | None = None) -> Night:
        copy = copy or self.scratch / "home"
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(self.home, copy, symlinks=True)
        return night_of(copy, self.as_of)

    def _corrupt(self, corruption: Corruption, home: Path) -> float:
        source = BadSource(home, corruption.sheet, self.as_of)
        source.corrupt(corruption)
        return source.changed_share

    def _run(self, night: Night, corruptions: Sequence[Corruption], changed: Mapping[str, float]) -> Iterator[Outcome]:
        left = {corruption.sheet.platform: corruption for corruption in corruptions}
        for platform in night.platforms:
            yield from self._try(night, platform, "extract", left)
        for platform in night.platforms:
            yield from self._try(night, platform, "check_loads", left)
        if not left:
            return
        _for_all("stage", lambda: stage(night))
        for platform in night.platforms:
            if platform in left:
                yield from self._try(night, platform, "check_contents", left)
        if not left:
            return
        _for_all("prepare", lambda: prepare(night))
        _for_all("check_reconciliation", lambda: check_reconciliation(night))
        for platform, corruption in left.items():
            yield self._passed(night, platform, corruption, changed[corruption.name])

    def _try(self, night: Night, platform: str, step: str, left: dict[str, Corruption]) -> Iterator[Outcome]:
        """Run a step of one platform; the outcome where it is one, and nothing where the load passes."""
        try:
            {"extract": extract, "check_loads": check_loads, "check_contents": check_contents}[step](night, platform)
        except (PlatformError, RuntimeError, duckdb.Error) as error:
            if platform not in left:
                raise
            corruption = left.pop(platform)
            because = f"{type(error).__name__}: {_line(str(error))}"
            yield Outcome(corruption.name, corruption.expected, "stopped", step, because)
            return
        because = _held_because(night, platform, step)
        if because and platform in left:
            corruption = left.pop(platform)
            outcome = "held"
            if corruption.scope == "export" and corruption.sql and corruption.expected != "harmless":
                own = complaints(night, platform) - self._of_export(corruption.sheet)
                outcome, because = ("held", "; ".join(sorted(own))) if own or step == "extract" else ("masked", because)
            yield Outcome(corruption.name, corruption.expected, outcome, step, _line(because))

    def _of_export(self, sheet: Sheet) -> set[str]:
        """What the gates do not like of the table's whole export when nothing in it is corrupted."""
        if sheet.table not in self.of_exports:
            night = self._copy(self.scratch / "export")
            self._corrupt(Corruption(sheet, "a whole export, unchanged", "", "export"), night.settings.home)
            for step in (extract, check_loads):
                for platform in night.platforms:
                    step(night, platform)
            stage(night)
            check_contents(night, sheet.platform)
            self.of_exports[sheet.table] = complaints(night, sheet.platform)
        return self.of_exports[sheet.table]

    def _passed(self, night: Night, platform: str, corruption: Corruption, changed: float) -> Outcome:
        contract = corruption.sheet.contract
        [share] = query(
            night.settings,
            "select coalesce(avg(cast(row_status = 'quarantined' as integer)), 0) as share "
            f"from staging.stg_{platform}__{contract} where load_date = $night",
            {"night": night.as_of},
        )["share"].to_pylist()
        if changed and share >= 0.9 * changed:
            return Outcome(corruption.name, corruption.expected, "quarantined", "stage", f"{share:.0%} of the rows")
        new = sorted(complaints(night, platform) - self.usual[platform])
        return Outcome(corruption.name, corruption.expected, "warned" if new else "silent", "", _line("; ".join(new)))


def _for_all(name: str, step: Callable[[], None]) -> None:
    try:
        step()
    except Exception as error:
        raise _Failed(name, error) from error


def _held_because(night: Night, platform: str, step: str) -> str:
    if step == "extract":
        return next((load.error for load in night.read(Extracted, platform).loads if load.error), "")
    result = night.find(GateResult, f"{step.removeprefix('check_')}-{platform}")
    return result.reasons[0] if result and result.verdict == "hold" else ""


def _line(text: str) -> str:
    return " ".join(text.split())[:240]


def _lists_that_differ(one: Path, other: Path) -> float:
    with duckdb.connect() as connection:
        listed = "select person_id, platform, list(item_id order by rank) as items from read_parquet('{}') group by all"
        [(share,)] = connection.execute(
            f"select avg(cast(one.items is distinct from other.items as integer)) from ({listed.format(one)}) as one "
            f"full join ({listed.format(other)}) as other using (person_id, platform)"
        ).fetchall()
    return float(share)


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


def run_clean_nights(home: Path, first: date, count: int) -> list[dict[str, object]]:
    """Run the nights one after another; for each platform of each night whether its load was held, and its warnings."""
    rows: list[dict[str, object]] = []
    for as_of in (first + timedelta(number) for number in range(count)):
        night = night_of(home, as_of)
        merge(night)
        rows += clean_rows(night)
        console.print(f"clean night of {as_of}: {sum(bool(row['held']) for row in rows)} loads held so far")
    return rows


def clean_rows(night: Night) -> list[dict[str, object]]:
    """One row per platform of a night that has run."""
    found: list[dict[str, object]] = []
    for platform in night.platforms:
        results = [night.find(GateResult, f"{gate}-{platform}") for gate in ("loads", "contents")]
        held = [result.gate for result in results if result and result.verdict in ("hold", "stop")]
        found.append(
            {
                "night": str(night.as_of),
                "platform": platform,
                "held": held,
                "warnings": sorted(complaints(night, platform)),
            }
        )
    return found


def figures(outcomes: Sequence[Outcome], clean: Sequence[dict[str, object]]) -> list[Measured]:
    """The figures of issue 17, and each kind of outcome by gate; what came through has a row of its own."""
    bad = [outcome for outcome in outcomes if outcome.expected == "caught"]
    good = [outcome for outcome in outcomes if outcome.expected == "harmless"]
    caught = [outcome for outcome in bad if outcome.is_caught]
    rows = []
    if bad:
        share = len(caught) / len(bad)
        rows.append(Measured("corruptions that were caught", share, f"of {len(bad)}", 0.95, at_least=True))
    for (outcome, where), count in sorted(Counter((each.outcome, each.where) for each in bad).items()):
        rows.append(Measured(f"{outcome}{f' at {where}' if where else ''}", count, f"of {len(bad)}"))
    if good:
        held = [outcome.name for outcome in good if outcome.outcome in ("held", "stopped")]
        rows.append(Measured("harmless changes held", len(held), f"of {len(good)}", peer="; ".join(held) or None))
    if clean:
        nights = len({str(row["night"]) for row in clean})
        held_loads = [f"{row['platform']} {row['night']}" for row in clean if row["held"]]
        warned = sum(bool(row["warnings"]) for row in clean)
        unit = f"of {len(clean)} loads in {nights} nights"
        rows.append(Measured("held loads in clean nights", len(held_loads), unit, 1, "; ".join(held_loads) or None))
        rows.append(Measured("loads with a warning in clean nights", warned, unit))
    for each in sorted((each for each in bad if not each.is_caught), key=lambda each: (each.outcome, each.name)):
        lists = "" if each.lists_changed is None else f"; {each.lists_changed:.1%} of lists changed"
        rows.append(
            Measured(
                f"{each.outcome}: {each.name}", each.changed, "share of rows changed", peer=f"{each.because}{lists}"
            )
        )
    return rows


def main() -> None:
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="", help="corruptions with these words in their name")
    parser.add_argument("--random", type=int, default=30, help="so many corruptions by chance, beside the named ones")
    parser.add_argument("--seed", type=int, default=17)
    parser.add_argument("--minutes", type=float, default=None, help="stop after so long, with what was judged by then")
    parser.add_argument("--clean", type=int, default=CLEAN_NIGHTS, help="clean nights in a row")
    parser.add_argument("--alone", action="store_true", help="one corruption in a run, not one of each platform")
    parser.add_argument("--effects", action="store_true", help="run whole nights for what came through; hours")
    parser.add_argument("--home", type=Path, help="a home with the good nights already, left as it is")
    options = parser.parse_args()
    chosen = [*named(), *drawn(options.random, options.seed)]
    chosen = [corruption for corruption in chosen if options.only in corruption.name]
    as_of = FIRST + timedelta(GOOD_NIGHTS + 1)
    with tempfile.TemporaryDirectory(prefix="crossrec-gates-") as folder:
        home, scratch = Path(folder) / "good", Path(folder) / "scratch"
        scratch.mkdir()
        if options.home:
            shutil.copytree(options.home, home, symlinks=True)
            nights = (night_of(home, FIRST + timedelta(number + 1)) for number in range(GOOD_NIGHTS))
            clean = [row for night in nights for row in clean_rows(night)]
        else:
            build_demo(home / "demo", "small")
            merge(night_of(home, FIRST))
            clean = run_clean_nights(home, FIRST + timedelta(1), GOOD_NIGHTS)
        outcomes = judge_all(Bench(home, as_of, scratch), chosen, options.seed, options.minutes, alone=options.alone)
        if options.effects:
            outcomes = with_effects(Bench(home, as_of, scratch), chosen, outcomes)
        if options.clean > GOOD_NIGHTS:
            clean += run_clean_nights(home, as_of, options.clean - GOOD_NIGHTS)
    write_outcomes(outcomes, clean)
    save("bench-gates", figures(outcomes, clean))


def judge_all(
    bench: Bench, chosen: Sequence[Corruption], seed: int, minutes: float | None, *, alone: bool
) -> list[Outcome]:
    ends = time.monotonic() + minutes * 60 if minutes else float("inf")
    outcomes: list[Outcome] = []
    for batch in batches(chosen, seed, alone=alone):
        if time.monotonic() > ends:
            break
        found = bench.judge(batch)
        outcomes += found
        write_outcomes(outcomes, [])  # a benchmark that is stopped has what was measured before
        for outcome in found:
            console.print(
                f"{outcome.outcome:11} {outcome.where:15} {outcome.name}: {outcome.because[:120]}", markup=False
            )
    return outcomes


def with_effects(bench: Bench, chosen: Sequence[Corruption], outcomes: Sequence[Outcome]) -> list[Outcome]:
    """The outcomes, with the share of lists that each one changed that came through."""
    by_name = {corruption.name: corruption for corruption in chosen}
    _, clean = bench.lists_changed(None, None)
    return [
        outcome
        if outcome.is_caught
        else replace(outcome, lists_changed=bench.lists_changed(by_name[outcome.name], clean)[0])
        for outcome in outcomes
    ]


def write_outcomes(outcomes: Sequence[Outcome], clean: Sequence[dict[str, object]]) -> None:
    """docs/benchmarks/gates/outcomes.json: every outcome, and what every clean night met."""
    OUTCOMES.parent.mkdir(parents=True, exist_ok=True)
    content = {"outcomes": [asdict(outcome) for outcome in outcomes], "clean": list(clean)}
    OUTCOMES.write_text(json.dumps(content, indent=1) + "\n")


if __name__ == "__main__":
    main()
