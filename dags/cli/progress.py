"""The progress of a night: written line by line by the process that runs it, and shown by the one that a person looks at.

A line is a kind, a tab and a text. The kinds: ``task`` (a task starts), ``done``, ``failed`` and ``error`` (how it ends),
``fact`` and ``warning`` (stay on the screen), ``tick`` (the next one replaces it).
"""

import logging
import subprocess
import time
from pathlib import Path

from rich.console import Console
from rich.markup import escape

SHOWN = {
    "fact": "      [dim]{}[/dim]",
    "warning": "    [yellow]! {}[/yellow]",
    "done": "  [green]✓[/green] {}",
    "failed": "  [red]✗ {}[/red]",
    "error": "      {}",
}


class ProgressWriter(logging.Handler):
    """Writes progress to a file: what is logged, by its level, and whatever else it is told."""

    def __init__(self, path: Path) -> None:
        super().__init__(logging.DEBUG)
        self.file = path.open("a", buffering=1)

    def emit(self, record: logging.LogRecord) -> None:
        kind = "warning" if record.levelno >= logging.WARNING else "fact" if record.levelno >= logging.INFO else "tick"
        self.write(kind, record.getMessage())

    def write(self, kind: str, text: str) -> None:
        for line in text.splitlines():
            self.file.write(f"{kind}\t{line}\n")


def show_progress(progress_file: Path, child: "subprocess.Popen[bytes]", console: Console) -> str:
    """Show the child's progress until it ends; returns the first task that failed, or nothing."""
    failed, running = "", ""
    with progress_file.open() as lines, console.status("starting Airflow") as status:
        while True:
            ended = child.poll() is not None
            for line in lines:
                kind, _, text = line.rstrip("\n").partition("\t")
                text = escape(text)
                if kind == "task":
                    running = text
                    status.update(running)
                elif kind == "tick":
                    status.update(f"{running}: {text}")
                elif kind in SHOWN:
                    console.print(SHOWN[kind].format(text), soft_wrap=True)
                if kind == "failed":
                    failed = failed or text
            if ended:
                return failed
            time.sleep(0.2)
