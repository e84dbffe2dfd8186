"""One night after the clean ones, with corrupted sources: its own steps run, and say what becomes of each corruption.

One run judges a corruption of each platform; a step that fails for all of them runs again for each of them alone. The gates hold
loads platform by platform, though they compare amounts with those of the other platforms.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

from rich.console import Console

from dags.steps.night import Night
from dags.steps.records import Extracted
from expectations.gate import GateResult
from infra.warehouse import query
from tests.bench.bad_sources import BadSource, ChangesNothing
from tests.bench.corruptions import Corruption, Sheet
from tests.bench.nights import LINK, MERGE, StepFailed, copied, in_a_line, night_of, run_steps
from tests.bench.outcomes import Group, Outcome
from tests.bench.steady import arrive

console = Console()
BY_PLATFORM = {step.name: step for step in MERGE if step.each == "platform"}
FOR_ALL = {step.name: step for step in MERGE if not step.each}


def complaints(night: Night, platform: str) -> set[str]:
    """What the gates of a platform's loads do not like: the rule, and the tables or metrics without their numbers."""
    results = [night.find(GateResult, f"{gate}-{platform}") for gate in ("loads", "contents")]
    failed = [check for result in results if result for check in result.failed]
    return {
        f"{check.description}: {part.split(' (')[0]}"
        for check in failed
        for part in (check.observed.split("), ") or [""])
    }


class Judge:
    """Judges corruptions on copies of ``home``, whose last good night is the one before ``as_of``."""

    def __init__(self, home: Path, as_of: date, scratch: Path) -> None:
        self.home, self.as_of, self.scratch = home, as_of, scratch
        self.of_exports: dict[str, set[str]] = {}
        clean = self._copy()
        run_steps(clean, MERGE)
        self.usual = {platform: complaints(clean, platform) for platform in clean.platforms}
        for platform in clean.platforms:
            for gate in ("loads", "contents"):
                verdict = clean.read(GateResult, f"{gate}-{platform}").verdict
                assert verdict in ("pass", "warn"), f"the clean night of {as_of}: gate {gate} of {platform}: {verdict}"

    def judge(self, corruptions: Sequence[Corruption]) -> list[Outcome]:
        """The outcome of each; the corruptions are of different platforms."""
        if late := [each for each in corruptions if each.scope == "late"]:
            others = [each for each in corruptions if each not in late]
            return [*map(self._judge_tomorrow, late), *(self.judge(others) if others else [])]
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
        except StepFailed as failed:
            if len(corruptions) > 1:
                return [outcome for corruption in corruptions for outcome in self.judge([corruption])]
            [alone] = corruptions
            found = [Outcome(alone.name, alone.expected, "stopped", failed.step, failed.because)]
        groups: dict[str, Group] = {
            corruption.name: "by chance" if corruption.is_drawn else "with a name" for corruption in corruptions
        }
        return [replace(outcome, changed=changed[outcome.name], group=groups[outcome.name]) for outcome in found]

    def _judge_tomorrow(self, corruption: Corruption) -> Outcome:
        """What becomes of the next night's load, where tonight's rows come with it."""
        night = self._copy()
        found = Outcome(
            corruption.name, corruption.expected, "silent", changed=self._corrupt(corruption, night.settings.home)
        )
        tomorrow = night_of(night.settings.home, self.as_of + timedelta(1))
        try:
            run_steps(night, MERGE)
            arrive(night.settings.demo_path, tomorrow.as_of)
            run_steps(tomorrow, MERGE)
        except StepFailed as failed:
            return replace(found, outcome="stopped", where=failed.step, because=failed.because)
        for step in ("check_loads", "check_contents"):
            if because := _held_because(tomorrow, corruption.sheet.platform, step):
                return replace(found, outcome="held", where=step, because=in_a_line(because))
        return found

    def _copy(self, copy: Path | None = None) -> Night:
        return night_of(copied(self.home, copy or self.scratch / "home"), self.as_of)

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
        run_steps(night, [FOR_ALL["stage"]])
        for platform in night.platforms:
            if platform in left:
                yield from self._try(night, platform, "check_contents", left)
        if not left:
            return
        run_steps(night, [FOR_ALL["prepare"], FOR_ALL["check_reconciliation"], *LINK])
        for platform, corruption in left.items():
            yield self._passed(night, platform, corruption, changed[corruption.name])

    def _try(self, night: Night, platform: str, step: str, left: dict[str, Corruption]) -> Iterator[Outcome]:
        """Run a step of one platform; the outcome where it is one, and nothing where the load passes."""
        try:
            BY_PLATFORM[step](night, platform)
        except Exception as error:  # whatever it was, the night has stopped there
            if platform not in left:
                raise StepFailed(step, error) from error
            corruption = left.pop(platform)
            because = f"{type(error).__name__}: {in_a_line(str(error))}"
            yield Outcome(corruption.name, corruption.expected, "stopped", step, because)
            return
        because = _held_because(night, platform, step)
        if because and platform in left:
            corruption = left.pop(platform)
            outcome = "held"
            if corruption.scope == "export" and corruption.sql and corruption.expected != "harmless":
                own = complaints(night, platform) - self._of_export(corruption.sheet)
                outcome, because = ("held", "; ".join(sorted(own))) if own or step == "extract" else ("masked", because)
            yield Outcome(corruption.name, corruption.expected, outcome, step, in_a_line(because))

    def _of_export(self, sheet: Sheet) -> set[str]:
        """What the gates do not like of the table's whole export when nothing in it is corrupted."""
        if sheet.table not in self.of_exports:
            night = self._copy(self.scratch / "export")
            self._corrupt(Corruption(sheet, "a whole export, unchanged", "", "export"), night.settings.home)
            run_steps(night, [*MERGE[:3]])
            BY_PLATFORM["check_contents"](night, sheet.platform)
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
        return Outcome(
            corruption.name, corruption.expected, "warned" if new else "silent", "", in_a_line("; ".join(new))
        )


def _held_because(night: Night, platform: str, step: str) -> str:
    if step == "extract":
        return next((load.error for load in night.read(Extracted, platform).loads if load.error), "")
    result = night.find(GateResult, f"{step.removeprefix('check_')}-{platform}")
    return result.reasons[0] if result and result.verdict == "hold" else ""
