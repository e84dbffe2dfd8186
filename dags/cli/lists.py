"""Which lists are served: `crossrec rollback`."""

from typing import Annotated

import typer

from dags.cli.terminal import console
from infra.settings import Settings

app = typer.Typer()


@app.command()
def rollback(
    to: Annotated[
        str, typer.Option(metavar="PUBLICATION", help="Publication to serve; without it, the one before.")
    ] = "",
    dry_run: Annotated[bool, typer.Option("--dry-run/--apply", help="Only print what would happen, or do it.")] = True,
) -> None:
    """Serve an earlier publication again, in the lake and in every platform's warehouse.

    Prints what it would do; `--apply` does it. Nothing is deleted: rolling forward is a rollback to the newer one.
    """
    from dags.steps.serve.roll_back import roll_back

    for line in roll_back(Settings(), to, apply=not dry_run):
        console.print(line, soft_wrap=True)
