"""What became of corruptions, and the figures made of it."""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal, get_args

from tests.bench.corruptions import Expected
from tests.bench.measured import FOLDER, Measured

CAUGHT = ("held", "stopped", "quarantined")
OUTCOMES = FOLDER / "gates" / "outcomes.json"
FLOOR = 0.01  # a corruption that changes fewer of the lists than this did no harm
Group = Literal["with a name", "by chance", "between steps"]
CleanLoad = dict[str, object]


@dataclass(frozen=True)
class Outcome:
    """What became of one corruption: where it was caught, and the reason that a person reads.

    ``outcome``: held or stopped at the step ``where``; quarantined; warned; or silent. A corrupted export is masked where it is
    held for nothing but what an export without any corruption is held for: that says nothing of the corruption.
    ``changed`` is the share of tonight's rows of the table that the corruption made or changed. Of what got through,
    ``lists_changed`` is the share of lists that are not those of the clean night, and ``hits`` the hits of the following week in
    its lists for one in those of the clean night.
    """

    name: str
    expected: Expected
    outcome: str
    where: str = ""
    because: str = ""
    changed: float = 0.0
    group: Group = "with a name"
    lists_changed: float | None = None
    hits: float | None = None

    @property
    def is_caught(self) -> bool:
        return self.outcome in CAUGHT

    @property
    def reached_lists(self) -> bool:
        """Whether it got through, and changed as many lists as count; None where no lists were made: then it counts too."""
        return (
            not self.is_caught
            and self.outcome != "masked"
            and (self.lists_changed is None or self.lists_changed >= FLOOR)
        )


def figures(outcomes: Sequence[Outcome], clean: Sequence[CleanLoad]) -> list[Measured]:
    """The figures of issue 17, and each kind of outcome by gate; what came through has a row of its own."""
    bad = [outcome for outcome in outcomes if outcome.expected == "caught"]
    good = [outcome for outcome in outcomes if outcome.expected == "harmless"]
    rows = []
    for group in get_args(Group):
        if those := [each for each in bad if each.group == group]:
            share = sum(each.is_caught for each in those) / len(those)
            rows.append(
                Measured(f"corruptions {group} that were caught", share, f"of {len(those)}", 0.95, at_least=True)
            )
    if bad:
        reached = sum(each.reached_lists for each in bad)
        rows.append(
            Measured(f"corruptions that reached at least {FLOOR:.0%} of the lists", reached, f"of {len(bad)}", 0)
        )
    for (outcome, where), count in sorted(Counter((each.outcome, each.where) for each in bad).items()):
        rows.append(Measured(f"{outcome}{f' at {where}' if where else ''}", count, f"of {len(bad)}"))
    if good:
        held = [outcome.name for outcome in good if outcome.outcome in ("held", "stopped")]
        rows.append(Measured("harmless changes held", len(held), f"of {len(good)}", peer="; ".join(held) or None))
    rows += _of_clean_nights(clean)
    through = sorted((each for each in bad if not each.is_caught), key=lambda each: (each.outcome, each.name))
    return rows + [_came_through(each) for each in through]


def _of_clean_nights(clean: Sequence[CleanLoad]) -> list[Measured]:
    if not clean:
        return []
    nights = len({str(row["night"]) for row in clean})
    held = [f"{row['platform']} {row['night']}" for row in clean if row["held"]]
    stopped = sorted({f"{row['night']} {row['stopped']}" for row in clean if row.get("stopped")})
    unit = f"of {len(clean)} loads in {nights} nights"
    warned = sum(bool(row["warnings"]) for row in clean)
    return [
        Measured("held loads in clean nights", len(held), unit, 1, "; ".join(held) or None),
        Measured("stopped clean nights", len(stopped), f"of {nights} nights", 0, "; ".join(stopped) or None),
        Measured("loads with a warning in clean nights", warned, unit),
    ]


def _came_through(outcome: Outcome) -> Measured:
    told = [outcome.because] if outcome.because else []
    if outcome.lists_changed is not None:
        told.append(f"{outcome.lists_changed:.1%} of lists changed")
    if outcome.hits is not None:
        told.append(f"hits of the following week {outcome.hits - 1:+.1%}")
    return Measured(
        f"{outcome.outcome}: {outcome.name}", outcome.changed, "share of rows changed", peer="; ".join(told) or None
    )


def write_outcomes(outcomes: Sequence[Outcome], clean: Sequence[CleanLoad], path: Path = OUTCOMES) -> None:
    """Write every outcome, and what every clean night met."""
    path.parent.mkdir(parents=True, exist_ok=True)
    content = {"outcomes": [asdict(outcome) for outcome in outcomes], "clean": list(clean)}
    path.write_text(json.dumps(content, indent=1) + "\n")


def read_outcomes(path: Path) -> list[Outcome]:
    return [Outcome(**outcome) for outcome in json.loads(path.read_text())["outcomes"]]
