"""What all commands share: the terminal, dates, and the way to fail."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from typing import Annotated, NoReturn

import typer
from rich.console import Console
from rich.markup import escape

from infra.deploy.logs import PACKAGES

console = Console(highlight=False, emoji=False)  # messages name accounts, such as shop:a


def fail(message: str) -> NoReturn:
    """Print the message as an error and end with exit code 1."""
    console.print(f"[red]✗[/red] {message}", soft_wrap=True)
    raise typer.Exit(1)


def parse_date(text: str, given_as: str = "--date") -> date:
    """The date that an option or argument gives.

    Raises:
        typer.BadParameter: The text is not a date as YYYY-MM-DD.
    """
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter(f"expected a date as YYYY-MM-DD. Received: {text!r}", param_hint=given_as) from None


NightDate = Annotated[
    str, typer.Option("--date", metavar="YYYY-MM-DD", help="The night; without it, the newest that ran to its end.")
]


@contextmanager
def logs_shown(*loggers: str) -> Iterator[None]:
    """Print to the terminal what the ``loggers`` (of our code, without any: all) log at INFO and above, to the end of the block."""

    class Terminal(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            console.print(escape(record.getMessage()), soft_wrap=True)

    terminal = Terminal(logging.INFO)
    shown = [logging.getLogger(name) for name in loggers or PACKAGES]
    for logger in shown:
        logger.setLevel(logging.INFO)
        logger.addHandler(terminal)
    try:
        yield
    finally:
        for logger in shown:
            logger.removeHandler(terminal)
