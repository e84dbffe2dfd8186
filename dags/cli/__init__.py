"""The `crossrec` command: the night and its tools by hand. `crossrec --help` reads like documentation."""

import logging
import os
import sys

import typer
from rich.markup import escape

from dags.cli import identity, lists, loads, models, night, operate
from dags.cli.terminal import console, logs_shown
from infra.deploy.embedded import QUIET
from infra.deploy.logs import explained

os.environ |= {name: value for name, value in QUIET.items() if name not in os.environ}

app = typer.Typer(
    name="crossrec",
    help="Nightly recommendations over several platforms: merge, link, gate, rank, write back.",
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
)
for group in (night, lists, models, operate):
    app.add_typer(group.app)
app.add_typer(identity.app, name="identity")
app.add_typer(loads.app, name="loads")


def main() -> None:
    """Run the command. Our own errors, and what an operator can mend, are messages for people; others keep their traceback."""
    logging.getLogger("infra.locks").propagate = False  # a command that shows all logs would show a wait twice
    try:
        with logs_shown("infra.locks"):
            app()
    except Exception as error:
        told = explained(error)
        if told is None:
            raise
        console.print(f"[red]✗[/red] {escape(str(told))}", soft_wrap=True)
        sys.exit(1)
