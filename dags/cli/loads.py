"""`crossrec loads`: what platforms sent and no night uses, and what people decide about it."""

import getpass
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from dags.cli.terminal import console, parse_date
from infra.settings import Settings

app = typer.Typer(
    help="Loads that a gate holds back: list them, look at one, accept or discard it.",
    no_args_is_help=True,
    rich_markup_mode="markdown",
)

Platform = Annotated[str, typer.Argument(metavar="PLATFORM", show_default=False)]
OfNight = Annotated[str, typer.Argument(metavar="YYYY-MM-DD", help="The night of the load.", show_default=False)]
Why = Annotated[str, typer.Option("--why", help="The reason, for whoever reads the log later.", prompt=True)]
Who = Annotated[str, typer.Option("--who", help="Who decides.", default_factory=getpass.getuser, show_default="you")]


@app.command("list")
def list_loads() -> None:
    """List every load that was held: whose, of which night, why, and what became of it."""
    from dags.steps.merge.held_loads import listed_loads
    from infra.lake import open_lake

    listed = listed_loads(open_lake(Settings()))
    if not listed:
        console.print("no load is held")
        return
    table = Table("platform", "night", "tables", "rows", "state", "reason")
    for entry in listed:
        load = entry.load
        reason, more = load.reasons[0].partition(". Received: ")[0], len(load.reasons) - 1
        table.add_row(
            escape(load.platform),
            str(load.as_of),
            escape(", ".join(held.table for held in load.tables)),
            f"{entry.rows:,}",
            escape(entry.state),
            escape(reason) + (f" (and {more} more)" if more else ""),
        )
    console.print(table)


@app.command()
def show(platform: Platform, night: OfNight) -> None:
    """Show one held load: its tables, every reason, and who decided what about it."""
    from dags.steps.merge.held_loads import listed_load
    from infra.lake import open_lake

    entry, decisions = listed_load(open_lake(Settings()), platform, parse_date(night, "YYYY-MM-DD"))
    lines = [str(entry), f"held at {entry.load.held_at:%F %T} UTC, because:"]
    lines += [f"  - {reason}" for reason in entry.load.reasons]
    lines += [f"{made.when:%F %T} UTC: {made.decision} by {made.who}, because: {made.why}" for made in decisions]
    for line in lines:
        console.print(line, soft_wrap=True, markup=False)


@app.command()
def accept(platform: Platform, night: OfNight, why: Why, who: Who) -> None:
    """Accept exactly this load, whatever the gates found. The next night takes it in."""
    _decide(platform, night, "accept", why, who)


@app.command()
def discard(platform: Platform, night: OfNight, why: Why, who: Who) -> None:
    """Delete this load for good and keep its record. What the source still has comes with the next night."""
    _decide(platform, night, "discard", why, who)


def _decide(platform: str, night: str, decision: str, why: str, who: str) -> None:
    from dags.steps.merge.held_loads import decide
    from dags.steps.night import Night

    of_night = Night(parse_date(night, "YYYY-MM-DD"), settings=Settings())
    said = decide(of_night, platform, "accept" if decision == "accept" else "discard", who, why)
    console.print(said, soft_wrap=True, markup=False)
