"""The night on one or two screens of a terminal."""

from __future__ import annotations

from collections.abc import Iterable
from textwrap import shorten

from rich import box
from rich.console import Console, Group, RenderableType
from rich.markup import escape
from rich.padding import Padding
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from expectations.gate import GateResult
from infra.report.facts import ExamplePerson, PlatformList
from infra.report.names import CHARTED, FUNNEL_STAGES, contender_name, duration, metric_name
from infra.report.night import NightSummary

VERDICTS = {
    "pass": ("green", "✓", "passed"),
    "warn": ("yellow", "!", "passed with warnings"),
    "hold": ("yellow", "!", "load held"),
    "stop": ("red", "✗", "stopped"),
}
SEPARATOR = " [dim]·[/dim] "
EVENTS_SHOWN = 4
ITEMS_SHOWN = 3


def print_summary(summary: NightSummary, console: Console) -> None:
    """Print what must be known first, the funnel, the gates, the metrics, the example people and where things are."""
    colour, sign, _ = VERDICTS[summary.verdict]
    console.print()
    for notice in summary.notices:
        console.print(Text(notice, style="bold yellow"), soft_wrap=True)
    console.print(Rule(Text(f"{sign} the night of {summary.as_of}", style=f"bold {colour}"), style=colour))
    console.print(Text(_facts(summary), style="dim"), soft_wrap=True)
    sections: list[tuple[str, RenderableType]] = [
        ("From rows to lists", _funnel(summary)),
        ("Gates", Group(*_gates(summary.gates))),
    ]
    if summary.metrics:
        sections.append(("Ranking quality on the held-out snapshot", _metrics(summary)))
    sections += [(_who(person), _person(person)) for person in summary.people]
    for title, content in sections:
        console.print(Text(f"\n{title}", style="bold"))
        console.print(Padding(content, (0, 0, 0, 2)))
    _print_links(summary, console)


def _facts(summary: NightSummary) -> str:
    totals = summary.totals
    facts = [f"run {summary.run_id}"]
    if summary.seconds is not None:
        facts.append(duration(summary.seconds))
    if totals.persons is not None:
        shared = f", {totals.multi_platform_persons:,} on several platforms" if totals.multi_platform_persons else ""
        facts.append(f"{totals.persons:,} people{shared}")
    if totals.products is not None:
        facts.append(f"{totals.products:,} products")
    if summary.model_version:
        facts.append(f"model version {summary.model_version}")
    return " · ".join(facts)


def _funnel(summary: NightSummary) -> RenderableType:
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1))
    table.add_column("")
    for platform in summary.funnel:
        table.add_column(Text(platform.platform), justify="right")
    for field, name in FUNNEL_STAGES.items():
        counts = [getattr(platform, field) for platform in summary.funnel]
        if any(count is not None for count in counts):
            table.add_row(name, *("-" if count is None else f"{count:,}" for count in counts))
    return table


def _gates(gates: Iterable[GateResult]) -> Iterable[RenderableType]:
    """A line per gate with a verdict per platform, then each check that did not hold, in its own words."""
    by_name: dict[str, list[GateResult]] = {}
    for gate in gates:
        by_name.setdefault(gate.gate, []).append(gate)
    table = Table.grid(padding=(0, 2))
    table.add_column(no_wrap=True)
    for name, members in by_name.items():
        verdicts = Text("   ").join(
            Text(f"{sign} {gate.platform or words}", style=colour)
            for gate in members
            for colour, sign, words in (VERDICTS[gate.verdict],)
        )
        held, made = (
            sum(len(part) for part in parts) for parts in zip(*((g.held, g.checks) for g in members), strict=True)
        )
        table.add_row(Text(name.replace("_", " ")), verdicts, Text(f"{held} of {made} checks held", style="dim"))
    yield table
    for gate in (gate for members in by_name.values() for gate in members):
        for check in gate.failed:
            colour, sign, _ = VERDICTS[check.severity]
            where = " ".join(filter(None, (gate.gate.replace("_", " "), gate.platform)))
            yield Text.assemble(
                (f"{sign} {where}: ", colour), f"expected {check.description}; found {check.observed or 'otherwise'}"
            )


def _metrics(summary: NightSummary) -> RenderableType:
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1))
    table.add_column("")
    standings = {name: summary.standing(name) for name in summary.metric_names() if name in CHARTED}
    for name in standings:
        table.add_column(metric_name(name), justify="right")
    for contender in summary.contenders():
        cells = []
        for standing in standings.values():
            row = standing.rows.get(contender)
            mark = "★" if contender == standing.best else "≈" if contender in standing.tied else " "
            style = "bold green" if mark == "★" else "green" if mark == "≈" else ""
            cells.append(Text("-  " if row is None else f"{row.value:.4f} {mark}", style=style))
        table.add_row(Text(contender_name(contender)), *cells)
    legend = Text("★ best   ≈ cannot be told from the best   unmarked: worse", style="dim")
    promotion = f"Promotion: {summary.promotion}" if summary.promotion else ""
    sentences = [Text(line) for line in (summary.model_against_baselines(), promotion) if line]
    return Group(table, legend, *sentences)


def _who(person: ExamplePerson) -> str:
    places = sorted({account.platform for account in person.accounts})
    return f"Person {person.person_id[:12]} · {' + '.join(places)}"


def _person(person: ExamplePerson) -> RenderableType:
    lines = Table.grid(padding=(0, 2))
    lines.add_column(style="dim", no_wrap=True)
    lines.add_column()
    if person.events:
        shown = person.events[:EVENTS_SHOWN]
        titles = [
            f"{_short(event.title)} [dim]({escape(f'{event.platform} {event.what}'.strip())})[/dim]" for event in shown
        ]
        total = person.events_in_all or len(person.events)
        more = f" [dim]and {total - len(shown):,} more[/dim]" if total > len(shown) else ""
        lines.add_row("did", Text.from_markup(SEPARATOR.join(titles) + more))
    if person.taste:
        likes = ", ".join(f"{taste.category} {taste.share:.0%}" for taste in person.taste[:5])
        lines.add_row("likes", Text(likes))
    for shown_list in person.lists:
        lines.add_row(Text(f"→ {shown_list.platform}"), Text.from_markup(_items(shown_list)))
    return lines


def _items(shown_list: PlatformList) -> str:
    """A line per item: its rank, title and reason."""
    if not shown_list.items:
        return "[dim]no list[/dim]"
    shown = shown_list.items[:ITEMS_SHOWN]
    lines = [
        f"[dim]{item.rank}[/dim] {_short(item.title)}" + (f"  [dim]{escape(item.reason)}[/dim]" if item.reason else "")
        for item in shown
    ]
    if shown[0].strategy != "personalised":
        lines[0] += f" [yellow]({escape(shown[0].strategy)})[/yellow]"
    return "\n".join(lines)


def _short(title: str) -> str:
    return escape(shorten(title, 34, placeholder="…"))


def _print_links(summary: NightSummary, console: Console) -> None:
    """Paths are never wrapped, so that they can be copied."""
    links = summary.links
    console.print(Text("\nWhere things are", style="bold"))
    for name, where in (
        ("report", links.report),
        ("Data Docs", links.data_docs),
        ("Airflow log", links.airflow_log),
        ("MLflow run", links.mlflow_run),
    ):
        if where:
            console.print(Text.assemble((f"  {name:<13}", "dim"), where), soft_wrap=True)
