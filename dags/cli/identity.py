"""`crossrec identity`: who is one person, why, and what people decide about it."""

import getpass
from datetime import UTC, datetime
from itertools import accumulate, pairwise
from typing import Annotated, Literal

import typer
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from dags.cli.terminal import NightDate, console, parse_date
from infra.settings import Settings

app = typer.Typer(
    help="Who is one person, which items are one product: why, and what people decide about it.",
    no_args_is_help=True,
    rich_markup_mode="markdown",
)

Kind = Annotated[
    Literal["person", "product"],
    typer.Option("--kind", help="Accounts that are one person, or items that are one product."),
]
First = Annotated[str, typer.Argument(metavar="PLATFORM:ID", show_default=False)]
Second = Annotated[str, typer.Argument(metavar="PLATFORM:ID", show_default=False)]
Why = Annotated[str, typer.Option("--why", help="The reason, for whoever reads the log later.", prompt=True)]
Who = Annotated[str, typer.Option("--who", help="Who decides.", default_factory=getpass.getuser, show_default="you")]
BAR = 30  # characters


def _record(text: str) -> tuple[str, str]:
    platform, colon, name = text.partition(":")
    if not (platform and colon and name):
        raise typer.BadParameter(f"expected PLATFORM:ID, such as shop:123. Received: {text!r}")
    return platform, name


@app.command()
def explain(first: First, second: Second, kind: Kind = "person", as_of: NightDate = "") -> None:
    """Show why two accounts (or items) are, or are not, the same: a waterfall of match weights, in bits."""
    from dags.steps.merge.explain import explain
    from dags.steps.night import Night

    settings = Settings()
    night = Night(parse_date(as_of) if as_of else Night.newest(settings), settings=settings)
    found = explain(night, kind, _record(first), _record(second))
    table = Table(
        "", "bits", "sum", "", title=escape(f"{first} and {second}, night of {night.as_of}"), title_justify="left"
    )
    steps = [("any two", found.start), *found.steps]
    sums = [0.0, *accumulate(weight for _, weight in steps)]
    lowest = min(sums)
    scale = BAR / max(max(sums) - lowest, 1.0)
    for (name, weight), (before, total) in zip(steps, pairwise(sums), strict=True):
        left, right = sorted((round((before - lowest) * scale), round((total - lowest) * scale)))
        bar = Text(" " * left + "█" * max(right - left, 1), style="green" if weight > 0 else "red")
        table.add_row(name.replace("_", " "), f"{weight:+.1f}", f"{total:+.1f}", bar)
    console.print(table)
    verdict = f"[green]one {kind}[/green]" if found.same else f"[red]not one {kind}[/red]"
    console.print(
        f"{found.weight:+.1f} bits, probability {found.probability:.4f}: {verdict}, for {escape(found.because)}",
        soft_wrap=True,
    )


@app.command()
def same(first: First, second: Second, why: Why, who: Who, kind: Kind = "person") -> None:
    """Decide that two accounts are one person's (or two items one product), whatever the evidence says."""
    _decide(first, second, "same", why, who, kind)


@app.command()
def different(first: First, second: Second, why: Why, who: Who, kind: Kind = "person") -> None:
    """Decide that two accounts are never one person's. Undoes a merge: the next night gives both their own lists again."""
    _decide(first, second, "different", why, who, kind)


@app.command()
def forget(first: First, second: Second, why: Why, who: Who, kind: Kind = "person") -> None:
    """Withdraw a decision: the evidence decides again."""
    _decide(first, second, "forget", why, who, kind)


def _decide(
    first: str, second: str, decision: Literal["same", "different", "forget"], why: str, who: str, kind: str
) -> None:
    from dags.steps.merge.decisions import decide
    from dags.steps.merge.kinds import KINDS
    from dags.steps.merge.known_records import require_known
    from dags.steps.night import Night
    from ml.identity.overrides import Override

    night = Night.today(Settings())
    now = datetime.now(UTC).isoformat(timespec="milliseconds")
    override = Override(_record(first), _record(second), decision, who, now, why)
    if decision != "forget":  # a decision about a record that was mistyped, or is gone, can be withdrawn
        require_known(night, KINDS[kind], (override.left, override.right))
    decide(KINDS[kind].store(night.lake), override)
    console.print(f"{override}; the next night follows it", soft_wrap=True, markup=False)


@app.command("decisions")
def list_decisions(kind: Kind = "person") -> None:
    """List the decisions in force."""
    from dags.steps.merge.decisions import decisions_in_force
    from dags.steps.merge.kinds import KINDS
    from infra.lake import open_lake

    for override in decisions_in_force(KINDS[kind].store(open_lake(Settings()))):
        console.print(str(override), soft_wrap=True, markup=False)


@app.command()
def accept(
    kind: Annotated[Literal["person", "product"], typer.Argument(show_default=False)],
    as_of: Annotated[str, typer.Argument(metavar="YYYY-MM-DD", show_default=False)],
    why: Why,
    who: Who,
) -> None:
    """Accept exactly the merges and splits that stopped a night; run its task `check_identity` again afterwards."""
    from dags.steps.merge.accept_changes import accept_changes
    from dags.steps.night import Night

    count = accept_changes(Night(parse_date(as_of, "YYYY-MM-DD"), settings=Settings()), kind, who, why)
    console.print(f"{count:,} merges and splits of the night of {as_of} are accepted; run the night again")


@app.command()
def train(
    kind: Kind = "person",
    promote: Annotated[bool, typer.Option("--promote/--challenger", help="Let the new version serve at once.")] = False,
) -> None:
    """Learn the match weights again, from the newest night. The next night uses the champion, and scores every pair again."""
    from dags.steps.merge.train_linkage import newest_linked, train_people, train_products

    trained = (train_people if kind == "person" else train_products)(newest_linked(), promote=promote)
    console.print(f"version {trained.version} is {'champion' if promote else 'challenger'}")
