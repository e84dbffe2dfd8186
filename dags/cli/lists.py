"""Which lists are served: `crossrec rollback` and `crossrec publications`."""

import getpass
import sys
from itertools import islice
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from dags.cli.terminal import console
from infra.settings import Settings

app = typer.Typer()


@app.command()
def rollback(
    who: Annotated[
        str, typer.Option("--who", help="Who decides.", default_factory=getpass.getuser, show_default="you")
    ],
    to: Annotated[
        str, typer.Option(metavar="PUBLICATION", help="Publication to serve; without it, the one served before.")
    ] = "",
    dry_run: Annotated[bool, typer.Option("--dry-run/--apply", help="Only print what would happen, or do it.")] = True,
    why: Annotated[
        str,
        typer.Option(help="The reason, for whoever reads the log later; `--apply` asks for it.", show_default=False),
    ] = "",
) -> None:
    """Serve an earlier publication again, in the lake and in every platform's warehouse.

    Prints what it would do; `--apply` does it. Two rollbacks go back two publications. Nothing is deleted: rolling forward is a
    rollback to the newer one. What a rollback takes away is not published again, unless its night makes other lists.
    """
    from dags.steps.serve.roll_back import roll_back

    if not dry_run and not why:
        if not sys.stdin.isatty():
            raise typer.BadParameter(
                "the log of what is served needs a reason, such as --why 'wrong prices'", param_hint="--why"
            )
        why = typer.prompt("Why")
    for line in roll_back(Settings(), to, apply=not dry_run, who=who, why=why):
        console.print(line, soft_wrap=True)


@app.command()
def publications(
    last: Annotated[int, typer.Option(min=1, help="How many entries to show, the newest first.")] = 20,
) -> None:
    """Show the log of what is served: since when, by whom, and why. The first line is what is served now."""
    from infra.lake import open_lake
    from infra.publications import served_so_far

    table = Table("", "since (UTC)", "publication", "how", "who", "why")
    for entry in islice(served_so_far(open_lake(Settings())), last):
        cells = (entry.when[:19].replace("T", " "), entry.publication_id, entry.how, entry.who, entry.why)
        table.add_row(str(entry.number), *map(escape, cells))
    console.print(table if table.row_count else "nothing is published yet; `crossrec nightly` publishes")
